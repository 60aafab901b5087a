"""The stem's token layer of the T2T-ViT_t models: softmax attention over all windows."""

import keras
from keras import ops

from t2t_keras.layers.attention import softmax_in_float32
from t2t_keras.layers.token_layer import TokenLayer


@keras.saving.register_keras_serializable(package="t2t_keras")
class TokenTransformer(TokenLayer):
    """One transformer layer with one head that narrows windows to tokens.

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

    Reference: arXiv:2101.11986, section 3.1; official `token_transformer.Token_transformer`.
    """

    def __init__(self, token_dim: int, drop_rate: float = 0.0, seed: int | None = None, **kwargs):
        super().__init__(token_dim, drop_rate, seed, **kwargs)

    def attention_weights(self, queries, keys):
        # The authors scale by the width of the windows coming in, not of the queries.
        scores = ops.matmul(queries * self.window_dim**-0.5, ops.transpose(keys, (0, 2, 1)))
        return softmax_in_float32(scores)

    def attention(self, projected):
        queries, keys, values = self.split(projected)
        return values, ops.matmul(self.attention_weights(queries, keys), values)
