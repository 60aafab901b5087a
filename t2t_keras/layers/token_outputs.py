"""Encoder tokens as a feature map, or pooled to one vector."""

from typing import Any

import keras
from keras import ops

from t2t_keras.errors import check
from t2t_keras.layers.primitives import Shape, Tensor

POOLINGS = ("token", "avg", "max")


@keras.saving.register_keras_serializable(package="t2t_keras")
class TokenMap(keras.layers.Layer):
    """Drops the class token and lays the patch tokens out as the map they came from.

    Call arguments:
        tokens: (B, 1 + h * w, D), the class token first.
        feature_map: (B, h, w, ...) map the tokens came from; only its height and width are read.

    Returns:
        (B, h, w, D) feature map.
    """

    def build(self, tokens_shape: Shape, feature_map_shape: Shape) -> None:
        """Keras' own takes one shape."""

    def call(self, tokens: Tensor, feature_map: Tensor) -> Tensor:
        height, width = ops.shape(feature_map)[1:3]
        return ops.reshape(tokens[:, 1:], (-1, height, width, tokens.shape[-1]))

    def compute_output_shape(self, tokens_shape: Shape, feature_map_shape: Shape) -> Shape:
        return (*feature_map_shape[:3], tokens_shape[-1])


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

    def __init__(self, pooling: str = "token", **kwargs: Any):
        super().__init__(**kwargs)
        check(pooling in POOLINGS, "pooling", pooling, f"one of {POOLINGS}")
        self.pooling = pooling

    def call(self, inputs: Tensor) -> Tensor:
        if self.pooling == "token":
            return inputs[:, 0]
        patches = inputs[:, 1:]
        return ops.mean(patches, axis=1) if self.pooling == "avg" else ops.max(patches, axis=1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], input_shape[-1])

    def get_config(self) -> dict:
        return {**super().get_config(), "pooling": self.pooling}
