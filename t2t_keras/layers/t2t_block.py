"""One step of tokens-to-token: soft split, then a token layer, from map to map."""

from typing import Any

import keras
from keras import ops

from t2t_keras.errors import check
from t2t_keras.layers.fused_projection import is_plain, normalized_projection
from t2t_keras.layers.primitives import Composite, Shape, Tensor
from t2t_keras.layers.soft_split import check_split, soft_split, split_shape
from t2t_keras.layers.token_layers import TokenPerformer, TokenTransformer

_TOKEN_LAYERS = {"performer": TokenPerformer, "transformer": TokenTransformer}


@keras.saving.register_keras_serializable(package="t2t_keras")
class T2TBlock(Composite):
    """Splits a feature map softly and restructures the windows into a smaller map.

    Equals `SoftSplit`, then a token layer on its windows, but holds no unfolded tensor: unfolding,
    LayerNorm and the first projection are one strided convolution.

    Args:
        token_dim: Channels of the map going out; at least 1.
        kernel_size, strides, padding: As in `SoftSplit`.
        token_type: "performer" or "transformer".
        seed: Seed of the token layer's dropouts; None picks one.

    Call arguments:
        inputs: (B, H, W, C) feature map.

    Returns:
        (B, h, w, token_dim) feature map; h and w as `SoftSplit` gives.

    Raises:
        ValueError: An argument is outside its range, or the map is smaller than a window.

    Reference: arXiv:2101.11986, section 3.1; official `t2t_vit.T2T_module`.
    """

    def __init__(
        self,
        token_dim: int,
        kernel_size: int,
        strides: int,
        padding: int,
        token_type: str = "performer",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_split(kernel_size, strides, padding)
        expected = f"one of {tuple(_TOKEN_LAYERS)}"
        check(token_type in _TOKEN_LAYERS, "token_type", token_type, expected)
        self.token_dim = token_dim
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding
        self.token_type = token_type
        self.seed = seed

    def build(self, input_shape: Shape) -> None:
        config = {"seed": self.seed, "dtype": self.dtype_policy, "name": "token_layer"}
        windows_shape = (input_shape[0], None, input_shape[-1] * self.kernel_size**2)
        layer = _TOKEN_LAYERS[self.token_type](self.token_dim, **config)
        self.token_layer = self.child(layer, windows_shape)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        layer, split = self.token_layer, (self.kernel_size, self.strides, self.padding)
        fused = type(layer) in _TOKEN_LAYERS.values() and is_plain(layer, self.compute_dtype)
        if fused:
            windows = normalized_projection(inputs, layer.norm1, layer.in_proj, *split)
        else:
            windows = soft_split(inputs, *split)
        _, height, width, channels = ops.shape(windows)
        windows = ops.reshape(windows, (-1, height * width, channels))
        tokens = (layer.attend if fused else layer)(windows, training=training)
        return ops.reshape(tokens, (-1, height, width, self.token_dim))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        split = (self.kernel_size, self.strides, self.padding)
        return split_shape(input_shape, *split, self.token_dim)

    def get_config(self) -> dict:
        config = {"token_dim": self.token_dim, "token_type": self.token_type, "seed": self.seed}
        split = {"kernel_size": self.kernel_size, "strides": self.strides, "padding": self.padding}
        return {**super().get_config(), **config, **split}
