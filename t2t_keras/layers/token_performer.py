"""The stem's token layer of the T2T-ViT models: attention by random features, linear in tokens."""

import math

import keras
from keras import ops

from t2t_keras.layers.token_layer import TokenLayer

# A power of two on both sides of the quotient changes no bit of it, and lets 1e-8 survive where
# constants are stored in 16 bits, as LiteRT's float16 does: as 0 it would divide 0 by 0.
_SCALE = 4096.0


@keras.saving.register_keras_serializable(package="t2t_keras")
class TokenPerformer(TokenLayer):
    """One performer layer that narrows windows to tokens.

    With phi(x) = exp(w x - |x|^2 / 2) / sqrt(m) for m fixed random features w, attention is
    phi(q) (phi(k)^T v) / (phi(q) sum phi(k) + 1e-8). All of it runs in float32 under any policy.

    Args:
        token_dim: Width of the tokens going out; at least 1.
        kernel_ratio: Random features over `token_dim`, in (0, 1].
        drop_rate: Share of values dropped after the projection and after the MLP, in [0, 1); 0.1
            in every official training run.
        seed: Seed of the dropouts; None draws one.

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
        self,
        token_dim: int,
        kernel_ratio: float = 0.5,
        drop_rate: float = 0.1,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(token_dim, drop_rate, seed, **kwargs)
        if not 0 < kernel_ratio <= 1 or int(token_dim * kernel_ratio) < 1:
            raise ValueError(
                "`kernel_ratio` must be in (0, 1] and give at least one feature. "
                f"Received: kernel_ratio={kernel_ratio}, token_dim={token_dim}"
            )
        self.kernel_ratio = kernel_ratio

    def build(self, input_shape):
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

    def feature_map(self, inputs):
        """phi: (B, N, token_dim) float32 -> (B, N, features), each above 0."""
        half_square = 0.5 * ops.sum(ops.square(inputs), axis=-1, keepdims=True)
        projected = ops.matmul(inputs, ops.transpose(self.random_features))
        return ops.exp(projected - half_square) / math.sqrt(self.random_features.shape[0])

    def split(self, projected):
        # Keys come first, unlike in the transformer: the official layer is called kqv.
        keys, queries, values = ops.split(projected, 3, axis=-1)
        return queries, keys, values

    def attention_weights(self, queries, keys):
        """The matrix that `attention` never builds: phi(q) phi(k)^T over its row sums, float32."""
        keys = self.feature_map(ops.cast(keys, "float32"))
        queries = self.feature_map(ops.cast(queries, "float32"))
        total = ops.matmul(queries, ops.sum(keys, axis=1)[..., None])
        return ops.matmul(queries, ops.transpose(keys, (0, 2, 1))) / (total + 1e-8)

    def attention(self, projected):
        queries, keys, values = self.split(projected)
        keys = self.feature_map(ops.cast(keys, "float32"))
        queries = _SCALE * self.feature_map(ops.cast(queries, "float32"))
        keys_to_values = ops.matmul(ops.transpose(keys, (0, 2, 1)), ops.cast(values, "float32"))
        total = ops.matmul(queries, ops.sum(keys, axis=1)[..., None])
        attended = ops.matmul(queries, keys_to_values) / (total + _SCALE * 1e-8)
        return values, ops.cast(attended, projected.dtype)

    def get_config(self):
        return {**super().get_config(), "kernel_ratio": self.kernel_ratio}
