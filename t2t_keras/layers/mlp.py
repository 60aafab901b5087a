"""The encoder block's second branch."""

from typing import Any

import keras

from t2t_keras.errors import check
from t2t_keras.layers.primitives import Composite, Shape, Tensor, gelu, per_token


@keras.saving.register_keras_serializable(package="t2t_keras")
class Mlp(Composite):
    """Widens every token, applies GELU and narrows it back.

    Args:
        mlp_ratio: Hidden width over token width; above 0.
        drop_rate: Fraction of values dropped after GELU and at the end, in [0, 1).
        seed: Seed of the dropouts; None picks one.

    Call arguments:
        inputs: (B, N, D) tokens.

    Returns:
        (B, N, D) tokens.

    Raises:
        ValueError: `mlp_ratio` is not above 0.

    Reference: arXiv:2101.11986, section 3.2; official `transformer_block.Mlp`.
    """

    def __init__(
        self, mlp_ratio: float, drop_rate: float = 0.0, seed: int | None = None, **kwargs: Any
    ):
        super().__init__(**kwargs)
        check(mlp_ratio > 0, "mlp_ratio", mlp_ratio, "above 0")
        self.mlp_ratio = mlp_ratio
        self.drop_rate = drop_rate
        self.seed = seed

    def build(self, input_shape: Shape) -> None:
        embed_dim = input_shape[-1]
        first_dim, hidden_dim = self.hidden_widths(embed_dim)
        self.fc1 = self.dense("fc1", first_dim, input_shape)
        self.fc2 = self.dense("fc2", embed_dim, (*input_shape[:-1], hidden_dim))
        self.drop1 = self.dropout("drop1", self.drop_rate)
        self.drop2 = self.dropout("drop2", self.drop_rate)

    def hidden_widths(self, embed_dim: int) -> tuple[int, int]:
        """Width out of the first linear layer, and into the second."""
        hidden_dim = int(embed_dim * self.mlp_ratio)
        return hidden_dim, hidden_dim

    def hidden(self, inputs: Tensor) -> Tensor:
        """(B * N, D) vectors -> the second linear layer's inputs."""
        return gelu(self.fc1(inputs))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        def widen(vectors: Tensor) -> Tensor:
            return self.fc2(self.drop1(self.hidden(vectors), training=training))

        return self.drop2(per_token(widen, inputs), training=training)

    def get_config(self) -> dict:
        config = {"mlp_ratio": self.mlp_ratio, "drop_rate": self.drop_rate, "seed": self.seed}
        return {**super().get_config(), **config}
