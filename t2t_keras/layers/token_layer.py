"""What the stem's two token layers share: all but the attention itself."""

import keras
from keras import ops

from t2t_keras.layers.mlp import Mlp
from t2t_keras.layers.parts import dropout, layer_norm, linear


class TokenLayer(keras.layers.Layer):
    """Attention over wide windows, with the values as its skip connection, then an MLP.

    A subclass sets `in_proj_bias` and gives `attention` and its weights.

    Args:
        token_dim: Width of the tokens going out; at least 1.
        drop_rate: Share of values dropped after the projection and after the MLP, in [0, 1).
        seed: Seed of the dropouts; None draws one.

    Call arguments:
        inputs: (B, N, D) windows.

    Returns:
        (B, N, token_dim) tokens.

    Raises:
        ValueError: `token_dim` is below 1.
    """

    in_proj_bias = False

    def __init__(self, token_dim: int, drop_rate: float, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        if token_dim < 1:
            raise ValueError(f"`token_dim` must be at least 1. Received: token_dim={token_dim}")
        self.token_dim = token_dim
        self.drop_rate = drop_rate
        self.seed = seed

    def build(self, input_shape):
        token_shape = (*input_shape[:-1], self.token_dim)
        self.window_dim = input_shape[-1]
        self.norm1 = layer_norm(self, "norm1", input_shape)
        self.in_proj = linear(
            self, 3 * self.token_dim, "in_proj", input_shape, use_bias=self.in_proj_bias
        )
        self.proj = linear(self, self.token_dim, "proj", token_shape)
        self.proj_drop = dropout(self, self.drop_rate, "proj_drop")
        self.norm2 = layer_norm(self, "norm2", token_shape)
        self.mlp = Mlp(1.0, dtype=self.dtype_policy, name="mlp")
        self.mlp.build(token_shape)
        self.mlp_drop = dropout(self, self.drop_rate, "mlp_drop")

    def split(self, projected):
        """(B, N, 3 * token_dim) -> queries, keys and values, each (B, N, token_dim)."""
        return ops.split(projected, 3, axis=-1)

    def attention_weights(self, queries, keys):
        """(B, n, token_dim) queries, (B, N, token_dim) keys -> (B, n, N) weights."""
        raise NotImplementedError  # the two token layers differ here and in `attention`

    def attention(self, projected):
        """(B, N, 3 * token_dim) -> values and their mixture, each (B, N, token_dim)."""
        raise NotImplementedError  # as above

    def attend(self, projected, training=None):
        """All that follows `in_proj`: (B, N, 3 * token_dim) -> (B, N, token_dim) tokens."""
        return self.add_branches(*self.attention(projected), training=training)

    def add_branches(self, values, attended, training=None):
        """All behind attention: values and their mixture, each (B, N, token_dim)."""
        tokens = values + self.proj_drop(self.proj(attended), training=training)
        return tokens + self.mlp_drop(self.mlp(self.norm2(tokens)), training=training)

    def call(self, inputs, training=None):
        return self.attend(self.in_proj(self.norm1(inputs)), training=training)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.token_dim)

    def get_config(self):
        config = {"token_dim": self.token_dim, "drop_rate": self.drop_rate, "seed": self.seed}
        return {**super().get_config(), **config}
