"""The layers that mix tokens between two soft splits: performer and transformer."""

import math
from typing import Any

import keras
from keras import ops

from t2t_keras.errors import check
from t2t_keras.layers.attention import attend_in_slices, softmax_in_float32
from t2t_keras.layers.mlp import Mlp
from t2t_keras.layers.primitives import Composite, Shape, Tensor, exact_dtype, per_token

# A power of two on both sides of the quotient changes no bit of it, and lets 1e-8 survive where
# constants are stored in 16 bits, as LiteRT's float16 does: as 0 it would divide 0 by 0.
_SCALE = 4096.0


class TokenLayer(Composite):
    """Base of both: attention over wide windows, its values the skip connection, then an MLP."""

    in_proj_bias = False

    def __init__(
        self, token_dim: int, drop_rate: float = 0.0, seed: int | None = None, **kwargs: Any
    ):
        super().__init__(**kwargs)
        check(token_dim >= 1, "token_dim", token_dim, "at least 1")
        self.token_dim = token_dim
        self.drop_rate = drop_rate
        self.seed = seed

    def build(self, input_shape: Shape) -> None:
        token_shape = (*input_shape[:-1], self.token_dim)
        self.window_dim = input_shape[-1]
        self.norm1 = self.layer_norm("norm1", input_shape)
        projected = 3 * self.token_dim
        self.in_proj = self.dense("in_proj", projected, input_shape, use_bias=self.in_proj_bias)
        self.proj = self.dense("proj", self.token_dim, token_shape)
        self.proj_drop = self.dropout("proj_drop", self.drop_rate)
        self.norm2 = self.layer_norm("norm2", token_shape)
        self.mlp = self.child(Mlp(1.0, dtype=self.dtype_policy, name="mlp"), token_shape)
        self.mlp_drop = self.dropout("mlp_drop", self.drop_rate)

    def split(self, projected: Tensor) -> list[Tensor]:
        """(B, N, 3 * token_dim) -> queries, keys and values, each (B, N, token_dim)."""
        return ops.split(projected, 3, axis=-1)

    def attention(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N, 3 * token_dim) -> values and their mixture, each (B, N, token_dim)."""
        raise NotImplementedError  # the two token layers differ here

    def attend(self, projected: Tensor, training: bool | None = None) -> Tensor:
        """All that follows `in_proj`: (B, N, 3 * token_dim) -> (B, N, token_dim) tokens."""
        values, attended = self.attention(projected)
        tokens = ops.add(values, self.proj_drop(per_token(self.proj, attended), training=training))
        return ops.add(tokens, self.mlp_drop(self.mlp(self.norm2(tokens)), training=training))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        return self.attend(self.in_proj(self.norm1(inputs)), training=training)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.token_dim)

    def get_config(self) -> dict:
        config = {"token_dim": self.token_dim, "drop_rate": self.drop_rate, "seed": self.seed}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="t2t_keras")
class TokenPerformer(TokenLayer):
    """One performer layer that narrows windows to tokens.

    With phi(x) = exp(w x - |x|^2 / 2) / sqrt(m) for m fixed random features w, attention is
    phi(q) (phi(k)^T v) / (phi(q) sum phi(k) + 1e-8). All of it runs in float32 under any policy.

    Args:
        token_dim: Width of the tokens going out; at least 1.
        kernel_ratio: Random features over `token_dim`, in (0, 1].
        drop_rate: Fraction of values dropped after the projection and after the MLP, in [0, 1); 0.1
            in every official training run.
        seed: Seed of the dropouts; None picks one.

    Call arguments:
        inputs: (B, N, D) windows.

    Returns:
        (B, N, token_dim) tokens.

    Raises:
        ValueError: `token_dim` is below 1 or `kernel_ratio` outside (0, 1].

    Reference: arXiv:2101.11986, section 3.1; arXiv:2009.14794; official
    `token_performer.Token_performer`.
    """

    in_proj_bias = True

    def __init__(
        self, token_dim: int, kernel_ratio: float = 0.5, drop_rate: float = 0.1, **kwargs: Any
    ):
        super().__init__(token_dim, drop_rate, **kwargs)
        valid = 0 < kernel_ratio <= 1 and int(token_dim * kernel_ratio) >= 1
        expected = f"in (0, 1] and give at least one feature for token_dim={token_dim}"
        check(valid, "kernel_ratio", kernel_ratio, expected)
        self.kernel_ratio = kernel_ratio

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        features = int(self.token_dim * self.kernel_ratio)
        self.random_features = self.add_weight(
            shape=(features, self.token_dim),
            initializer=keras.initializers.Orthogonal(gain=math.sqrt(features)),
            dtype="float32",  # under any policy: JAX draws no orthogonal matrix in float16
            trainable=False,
            autocast=False,
            name="random_features",
        )

    def feature_map(self, inputs: Tensor) -> Tensor:
        """phi: (B, N, token_dim) -> (B, N, features), each above 0; float32 or better."""
        inputs = ops.cast(inputs, exact_dtype(inputs.dtype))
        half_square = 0.5 * ops.sum(ops.square(inputs), axis=-1, keepdims=True)
        features = ops.cast(ops.transpose(self.random_features), inputs.dtype)
        projected = ops.matmul(inputs, features)
        return ops.exp(projected - half_square) / math.sqrt(self.random_features.shape[0])

    def split(self, projected: Tensor) -> list[Tensor]:
        # Keys come first, unlike in the transformer: the official layer is called kqv.
        keys, queries, values = ops.split(projected, 3, axis=-1)
        return [queries, keys, values]

    def attention_weights(self, queries: Tensor, keys: Tensor) -> Tensor:
        """The (B, n, N) weights that `attention` never builds: phi(q) phi(k)^T over row sums."""
        queries, keys = self.feature_map(queries), self.feature_map(keys)
        total = ops.matmul(queries, ops.expand_dims(ops.sum(keys, axis=1), -1))
        return ops.matmul(queries, ops.transpose(keys, (0, 2, 1))) / (total + 1e-8)

    def attention(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        queries, keys, values = self.split(projected)
        keys = self.feature_map(keys)
        queries = _SCALE * self.feature_map(queries)
        keys_to_values = ops.matmul(ops.transpose(keys, (0, 2, 1)), ops.cast(values, keys.dtype))
        total = ops.matmul(queries, ops.expand_dims(ops.sum(keys, axis=1), -1))
        attended = ops.matmul(queries, keys_to_values) / (total + _SCALE * 1e-8)
        return values, ops.cast(attended, projected.dtype)

    def get_config(self) -> dict:
        return {**super().get_config(), "kernel_ratio": self.kernel_ratio}


@keras.saving.register_keras_serializable(package="t2t_keras")
class TokenTransformer(TokenLayer):
    """One transformer layer with one head that narrows windows to tokens.

    Args:
        token_dim, drop_rate, seed: As in `TokenPerformer`; `drop_rate` is 0 by default.

    Call arguments:
        inputs: (B, N, D) windows.

    Returns:
        (B, N, token_dim) tokens.

    Raises:
        ValueError: `token_dim` is below 1.

    Reference: arXiv:2101.11986, section 3.1; official `token_transformer.Token_transformer`.
    """

    def attention_weights(self, queries: Tensor, keys: Tensor) -> Tensor:
        """(B, n, token_dim) queries, (B, N, token_dim) keys -> (B, n, N) weights."""
        # The authors scale by the width of the windows coming in, not of the queries.
        scores = ops.matmul(queries * self.window_dim**-0.5, ops.transpose(keys, (0, 2, 1)))
        return softmax_in_float32(scores)

    def attention(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        queries, keys, values = self.split(projected)

        def attend(queries: Tensor) -> Tensor:
            return ops.matmul(self.attention_weights(queries, keys), values)

        return values, attend_in_slices(attend, queries)
