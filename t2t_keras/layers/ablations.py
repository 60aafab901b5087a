"""The paper's ablations of an encoder block: squeeze-excitation and ghost features."""

from typing import Any

import keras
from keras import ops

from t2t_keras.errors import check
from t2t_keras.layers.attention import MultiHeadSelfAttention
from t2t_keras.layers.mlp import Mlp
from t2t_keras.layers.primitives import Composite, Shape, Tensor, exact_dtype, gelu, per_token


def _scale(layer: keras.layers.Layer, channels: int, name: str) -> keras.Variable:
    """One factor per channel; uniform in +-1, torch's default for a grouped 1x1 convolution."""
    initializer = keras.initializers.RandomUniform(-1.0, 1.0)
    return layer.add_weight(shape=(channels,), initializer=initializer, name=name)


@keras.saving.register_keras_serializable(package="t2t_keras")
class GhostAttention(MultiHeadSelfAttention):
    """`MultiHeadSelfAttention` with half of each projection a scaled copy of the other half.

    Args:
        num_heads, attn_drop_rate, seed: As in `MultiHeadSelfAttention`.

    Call arguments:
        inputs: (B, N, D) tokens; D is even.

    Returns:
        (B, N, D) tokens.

    Reference: arXiv:1911.11907; official `t2t_vit_ghost.Attention_ghost`.
    """

    def build_projections(self, input_shape: Shape) -> None:
        half_dim, odd = divmod(input_shape[-1], 2)
        check(not odd, "inputs", input_shape, "tokens of even width in ghost attention")
        self.query, self.query_scale = self._half("query", half_dim, input_shape)
        self.key, self.key_scale = self._half("key", half_dim, input_shape)
        self.value, self.value_scale = self._half("value", half_dim, input_shape)

    def _half(
        self, name: str, half_dim: int, input_shape: Shape
    ) -> tuple[keras.layers.Dense, keras.Variable]:
        dense = self.dense(name, half_dim, input_shape, use_bias=False)
        return dense, _scale(self, half_dim, f"{name}_scale")

    def project(self, inputs: Tensor) -> list[Tensor]:
        projections = (
            (self.query, self.query_scale),
            (self.key, self.key_scale),
            (self.value, self.value_scale),
        )
        halves = [(per_token(dense, inputs), scale) for dense, scale in projections]
        return [
            ops.concatenate([half, ops.multiply(half, scale)], axis=-1) for half, scale in halves
        ]


@keras.saving.register_keras_serializable(package="t2t_keras")
class GhostMlp(Mlp):
    """`Mlp` with three times the width inside, two thirds of it scaled copies of the first.

    Args:
        mlp_ratio: Hidden width over token width; 3.
        drop_rate, seed: As in `Mlp`.

    Call arguments:
        inputs: (B, N, D) tokens.

    Returns:
        (B, N, D) tokens.

    Raises:
        ValueError: `mlp_ratio` is not 3.

    Reference: official `t2t_vit_ghost.Mlp_ghost`.
    """

    def __init__(self, mlp_ratio: float = 3.0, **kwargs: Any):
        super().__init__(mlp_ratio, **kwargs)
        check(mlp_ratio == 3, "mlp_ratio", mlp_ratio, "3 in a ghost MLP")

    def hidden_widths(self, embed_dim: int) -> tuple[int, int]:
        return embed_dim, 3 * embed_dim

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        self.scale2 = _scale(self, input_shape[-1], "scale2")
        self.scale3 = _scale(self, input_shape[-1], "scale3")

    def hidden(self, inputs: Tensor) -> Tensor:
        first = gelu(self.fc1(inputs))
        copies = [first, *(gelu(ops.multiply(first, each)) for each in (self.scale2, self.scale3))]
        return ops.concatenate(copies, axis=-1)


@keras.saving.register_keras_serializable(package="t2t_keras")
class SqueezeExcite(Composite):
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

    def __init__(self, reduction: int = 16, **kwargs: Any):
        super().__init__(**kwargs)
        check(reduction >= 1, "reduction", reduction, "at least 1")
        self.reduction = reduction

    def build(self, input_shape: Shape) -> None:
        embed_dim, hidden_dim = input_shape[-1], input_shape[-1] // self.reduction
        check(hidden_dim >= 1, "reduction", self.reduction, f"at most D, {embed_dim}")
        mean_shape, hidden_shape = (input_shape[0], embed_dim), (input_shape[0], hidden_dim)
        relu, sigmoid = ({"use_bias": False, "activation": each} for each in ("relu", "sigmoid"))
        self.squeeze = self.dense("squeeze", hidden_dim, mean_shape, **relu)
        self.excite = self.dense("excite", embed_dim, hidden_shape, **sigmoid)

    def call(self, inputs: Tensor) -> Tensor:
        exact = ops.cast(inputs, exact_dtype(inputs.dtype))
        mean = ops.cast(ops.mean(exact, axis=1), inputs.dtype)
        return ops.multiply(inputs, ops.expand_dims(self.excite(self.squeeze(mean)), 1))

    def get_config(self) -> dict:
        return {**super().get_config(), "reduction": self.reduction}
