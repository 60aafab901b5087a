"""Squeeze-excitation over tokens, for the T2T-ViT-SE ablation."""

import keras
from keras import ops

from t2t_keras.layers.parts import linear


@keras.saving.register_keras_serializable(package="t2t_keras")
class SqueezeExcite(keras.layers.Layer):
    """Scales every channel by a gate in (0, 1) computed from its mean over the tokens.

    Args:
        reduction: Width of the tokens over the gate's hidden width; at least 1.

    Call arguments:
        inputs: (B, N, D) tokens.

    Returns:
        (B, N, D) tokens.

    Raises:
        ValueError: `reduction` is below 1 or above D.

    Reference: arXiv:1709.01507; official `t2t_vit_se.SELayer`.
    """

    def __init__(self, reduction: int = 16, **kwargs):
        super().__init__(**kwargs)
        if reduction < 1:
            raise ValueError(f"`reduction` must be at least 1. Received: reduction={reduction}")
        self.reduction = reduction

    def build(self, input_shape):
        embed_dim, hidden_dim = input_shape[-1], input_shape[-1] // self.reduction
        if hidden_dim < 1:
            raise ValueError(
                f"`reduction` must be at most the width of the tokens, {embed_dim}. "
                f"Received: reduction={self.reduction}"
            )
        mean_shape, hidden_shape = (input_shape[0], embed_dim), (input_shape[0], hidden_dim)
        self.squeeze = linear(self, hidden_dim, "squeeze", mean_shape, False, "relu")
        self.excite = linear(self, embed_dim, "excite", hidden_shape, False, "sigmoid")

    def call(self, inputs):
        mean = ops.cast(ops.mean(ops.cast(inputs, "float32"), axis=1), inputs.dtype)
        return inputs * self.excite(self.squeeze(mean))[:, None]

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "reduction": self.reduction}
