"""From the encoder's tokens back to a map."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="t2t_keras")
class TokenMap(keras.layers.Layer):
    """Leaves the class token out and lays the patch tokens out as the map they came from.

    Call arguments:
        tokens: (B, 1 + h * w, D), the class token first.
        feature_map: (B, h, w, ...) map the tokens came from; only its height and width are read.

    Returns:
        (B, h, w, D) feature map.
    """

    def call(self, tokens, feature_map):
        height, width = ops.shape(feature_map)[1:3]
        return ops.reshape(tokens[:, 1:], (-1, height, width, tokens.shape[-1]))

    def compute_output_shape(self, tokens_shape, feature_map_shape):
        return (*feature_map_shape[:3], tokens_shape[-1])
