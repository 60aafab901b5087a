"""Encoder tokens as a feature map, or pooled to one vector."""

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


_POOLINGS = ("token", "avg", "max")


@keras.saving.register_keras_serializable(package="t2t_keras")
class TokenPooling(keras.layers.Layer):
    """Takes the class token, or the mean or maximum of the patch tokens.

    Args:
        pooling: "token", "avg" or "max".

    Call arguments:
        inputs: (B, 1 + N, D) tokens, the class token first.

    Returns:
        (B, D) vectors.

    Raises:
        ValueError: `pooling` is none of the three.

    Reference: "token" is the official `T2T_ViT.forward_features`; the others are
    `keras.applications`'.
    """

    def __init__(self, pooling: str = "token", **kwargs):
        super().__init__(**kwargs)
        if pooling not in _POOLINGS:
            raise ValueError(f"`pooling` must be one of {_POOLINGS}. Received: pooling={pooling}")
        self.pooling = pooling

    def call(self, inputs):
        if self.pooling == "token":
            return inputs[:, 0]
        patches = inputs[:, 1:]
        return ops.mean(patches, axis=1) if self.pooling == "avg" else ops.max(patches, axis=1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])

    def get_config(self):
        return {**super().get_config(), "pooling": self.pooling}
