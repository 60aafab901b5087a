"""Multi-head self-attention as Keras' own cannot do it: qkv without bias, projection with."""

import keras
from keras import ops

from t2t_keras.layers.primitives import dropout, linear


def softmax_in_float32(scores):
    """Softmax over the last axis, summed in float32 and returned in the scores' dtype."""
    return ops.cast(ops.softmax(ops.cast(scores, "float32"), axis=-1), scores.dtype)


@keras.saving.register_keras_serializable(package="t2t_keras")
class MultiHeadSelfAttention(keras.layers.Layer):
    """Every token looks at every token, `num_heads` times side by side.

    Args:
        num_heads: Heads; divides the width of the tokens.
        attn_drop_rate: Fraction of attention weights dropped, in [0, 1).
        seed: Seed of the dropout; None draws one.

    Call arguments:
        inputs: (B, N, D) tokens.

    Returns:
        (B, N, D) tokens.

    Raises:
        ValueError: `num_heads` does not divide D.

    Reference: arXiv:2101.11986, section 3.2; official `transformer_block.Attention`.
    """

    def __init__(
        self, num_heads: int, attn_drop_rate: float = 0.0, seed: int | None = None, **kwargs
    ):
        super().__init__(**kwargs)
        if num_heads < 1:
            raise ValueError(f"`num_heads` must be at least 1. Received: num_heads={num_heads}")
        self.num_heads = num_heads
        self.attn_drop_rate = attn_drop_rate
        self.seed = seed

    def build(self, input_shape):
        embed_dim = input_shape[-1]
        if embed_dim % self.num_heads:
            raise ValueError(
                f"`num_heads` must divide the width of the tokens, {embed_dim}. "
                f"Received: num_heads={self.num_heads}"
            )
        self.key_dim = embed_dim // self.num_heads
        self.build_projections(input_shape)
        self.attn_drop = dropout(self, self.attn_drop_rate, "attn_drop")
        self.proj = linear(self, embed_dim, "proj", input_shape)

    def build_projections(self, input_shape):
        """Builds what `project` needs; (B, N, D) is the input's shape."""
        self.qkv = linear(self, 3 * input_shape[-1], "qkv", input_shape, use_bias=False)

    def project(self, inputs):
        """(B, N, D) tokens -> queries, keys and values, each (B, N, D)."""
        return ops.split(self.qkv(inputs), 3, axis=-1)

    def attention_weights(self, queries, keys):
        """(B, n, D) queries, (B, N, D) keys -> (B, num_heads, n, N) weights, summing to 1."""
        queries, keys = self._by_head(queries), self._by_head(keys)
        scores = ops.matmul(queries * self.key_dim**-0.5, ops.transpose(keys, (0, 1, 3, 2)))
        return softmax_in_float32(scores)

    def _by_head(self, tokens):
        """(B, N, D) -> (B, num_heads, N, key_dim)."""
        count = ops.shape(tokens)[1]
        tokens = ops.reshape(tokens, (-1, count, self.num_heads, self.key_dim))
        return ops.transpose(tokens, (0, 2, 1, 3))

    def attend(self, queries, keys, values, training=None):
        """(B, n, D) queries, (B, N, D) keys and values -> (B, n, D); no query hangs on another."""
        weights = self.attn_drop(self.attention_weights(queries, keys), training=training)
        mixed = ops.transpose(ops.matmul(weights, self._by_head(values)), (0, 2, 1, 3))
        return self.proj(ops.reshape(mixed, (-1, ops.shape(queries)[1], queries.shape[-1])))

    def call(self, inputs, training=None):
        return self.attend(*self.project(inputs), training=training)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = {
            "num_heads": self.num_heads,
            "attn_drop_rate": self.attn_drop_rate,
            "seed": self.seed,
        }
        return {**super().get_config(), **config}
