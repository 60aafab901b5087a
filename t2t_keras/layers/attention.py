"""Multi-head self-attention as Keras' own cannot do it: qkv without bias, projection with."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import ops

from t2t_keras.errors import check
from t2t_keras.layers.primitives import Composite, Shape, Tensor, exact_dtype, per_token

MAX_WEIGHTS = 2**27  # attention weights per image at a time: 512 MiB in float32


def softmax_in_float32(scores: Tensor) -> Tensor:
    """Softmax over the last axis, summed in float32 or better, returned in the scores' dtype."""
    exact = ops.cast(scores, exact_dtype(scores.dtype))
    return ops.cast(ops.softmax(exact, axis=-1), scores.dtype)


def query_slices(count: int, weights_of_query: int) -> Iterator[slice]:
    """Slices of `count` queries that have at most `MAX_WEIGHTS` attention weights each."""
    size = max(1, MAX_WEIGHTS // weights_of_query)
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def attend_in_slices(
    attend: Callable[[Tensor], Tensor], queries: Tensor, num_heads: int = 1
) -> Tensor:
    """Applies `attend` to (B, N, D) queries, in slices where N * N weights would fill the memory.

    No query depends on another one. Images of ordinary size have a single slice.
    """
    count = queries.shape[1]
    if count is None or num_heads * count * count <= MAX_WEIGHTS:
        return attend(queries)
    slices = query_slices(count, num_heads * count)
    return ops.concatenate([attend(queries[:, rows]) for rows in slices], axis=1)


@keras.saving.register_keras_serializable(package="t2t_keras")
class MultiHeadSelfAttention(Composite):
    """Mixes the values of all tokens into every token, `num_heads` times side by side.

    Args:
        num_heads: Heads; divides the width of the tokens.
        attn_drop_rate: Fraction of attention weights dropped, in [0, 1).
        seed: Seed of the dropout; None picks one.

    Call arguments:
        inputs: (B, N, D) tokens.

    Returns:
        (B, N, D) tokens.

    Raises:
        ValueError: `num_heads` does not divide D.

    Reference: arXiv:2101.11986, section 3.2; official `transformer_block.Attention`.
    """

    def __init__(
        self, num_heads: int, attn_drop_rate: float = 0.0, seed: int | None = None, **kwargs: Any
    ):
        super().__init__(**kwargs)
        check(num_heads >= 1, "num_heads", num_heads, "at least 1")
        self.num_heads = num_heads
        self.attn_drop_rate = attn_drop_rate
        self.seed = seed

    def build(self, input_shape: Shape) -> None:
        embed_dim, heads = input_shape[-1], self.num_heads
        check(embed_dim % heads == 0, "num_heads", heads, f"a divisor of D, {embed_dim}")
        self.key_dim = embed_dim // heads
        self.build_projections(input_shape)
        self.attn_drop = self.dropout("attn_drop", self.attn_drop_rate)
        self.proj = self.dense("proj", embed_dim, input_shape)

    def build_projections(self, input_shape: Shape) -> None:
        """Builds the layers that `project` uses, for (B, N, D) inputs."""
        self.qkv = self.dense("qkv", 3 * input_shape[-1], input_shape, use_bias=False)

    def project(self, inputs: Tensor) -> list[Tensor]:
        """(B, N, D) tokens -> queries, keys and values, each (B, N, D)."""
        return ops.split(per_token(self.qkv, inputs), 3, axis=-1)

    def attention_weights(self, queries: Tensor, keys: Tensor) -> Tensor:
        """(B, n, D) queries, (B, N, D) keys -> (B, num_heads, n, N) weights, summing to 1."""
        queries, keys = self._by_head(queries), self._by_head(keys)
        scores = ops.matmul(queries * self.key_dim**-0.5, ops.transpose(keys, (0, 1, 3, 2)))
        return softmax_in_float32(scores)

    def _by_head(self, tokens: Tensor) -> Tensor:
        """(B, N, D) -> (B, num_heads, N, key_dim)."""
        count = ops.shape(tokens)[1]
        tokens = ops.reshape(tokens, (-1, count, self.num_heads, self.key_dim))
        return ops.transpose(tokens, (0, 2, 1, 3))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        queries, keys, values = self.project(inputs)

        def attend(queries: Tensor) -> Tensor:
            weights = self.attn_drop(self.attention_weights(queries, keys), training=training)
            mixed = ops.transpose(ops.matmul(weights, self._by_head(values)), (0, 2, 1, 3))
            return ops.reshape(mixed, (-1, ops.shape(queries)[1], queries.shape[-1]))

        return per_token(self.proj, attend_in_slices(attend, queries, self.num_heads))

    def get_config(self) -> dict:
        config = {"num_heads": self.num_heads, "attn_drop_rate": self.attn_drop_rate}
        return {**super().get_config(), **config, "seed": self.seed}
