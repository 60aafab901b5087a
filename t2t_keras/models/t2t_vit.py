"""Functional T2T-ViT graphs with random weights: stem, encoder, classifier."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

from t2t_keras.layers import (
    ClassToken,
    DeepNarrowEncoder,
    DenseEncoder,
    PositionTable,
    T2TBlock,
    TokenPooling,
)
from t2t_keras.layers.primitives import convolution_kernel, layer_norm, linear_kernel
from t2t_keras.layers.soft_split import split_size
from t2t_keras.models import structure
from t2t_keras.variants import Variant

MIN_SIDE = 16  # pixels of the smallest image that a model takes


@contextlib.contextmanager
def dtype_scope(dtype: Any) -> Iterator[None]:
    """Gives the layers made inside a dtype policy; None leaves them the global one."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(before if dtype is None else dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def grid_size(height: int, width: int, variant: Variant) -> tuple[int, int]:
    """Rows and columns of tokens that the stem makes of an image of that size in pixels."""
    for split in variant.soft_splits:
        height, width = split_size(height, *split), split_size(width, *split)
    return height, width


def _convolution(
    feature_map: keras.KerasTensor,
    filters: int,
    split: tuple[int, int, int],
    kernel_initializer: keras.initializers.Initializer,
    name: str,
) -> keras.KerasTensor:
    kernel_size, strides, padding = split
    layout = {"data_format": "channels_last"}
    padded = keras.layers.ZeroPadding2D(padding, **layout, name=name + structure.PADDING)
    convolution = keras.layers.Conv2D(
        filters, kernel_size, strides, kernel_initializer=kernel_initializer, **layout, name=name
    )
    return convolution(padded(feature_map))


def build_stem(images: keras.KerasTensor, variant: Variant) -> keras.KerasTensor:
    """Applies the T2T module: (B, H, W, C) images -> (B, h, w, embed_dim) feature map.

    The last soft split and its linear layer are one convolution: no token layer follows it.

    Reference: arXiv:2101.11986, section 3.1; official `t2t_vit.T2T_module`.
    """
    feature_map, token_dim = images, variant.token_dim
    *first_splits, last_split = variant.soft_splits
    if variant.token_type == "convolution":
        for name, split in zip(structure.CONVOLUTIONS, first_splits, strict=True):
            feature_map = _convolution(feature_map, token_dim, split, convolution_kernel(), name)
        kernel = convolution_kernel()
    else:
        for name, split in zip(structure.T2T_BLOCKS, first_splits, strict=True):
            block = T2TBlock(token_dim, *split, token_type=variant.token_type, name=name)
            feature_map = block(feature_map)
        kernel = linear_kernel()
    return _convolution(feature_map, variant.embed_dim, last_split, kernel, structure.PROJECT)


def build_tokens(
    images: keras.KerasTensor, variant: Variant, rates: dict[str, float]
) -> keras.KerasTensor:
    """(B, H, W, C) normalized images -> (B, 1 + h * w, D) encoded tokens, the class token first."""
    feature_map = build_stem(images, variant)
    height, width = (side or variant.image_size for side in images.shape[1:3])
    table = PositionTable(grid_size(height, width, variant), name=structure.POSITION_TABLE)
    tokens = table(ClassToken(name=structure.CLASS_TOKEN)(feature_map), feature_map)
    tokens = keras.layers.Dropout(rates["drop_rate"], name="position_drop")(tokens)
    sizes: dict[str, Any] = {"num_heads": variant.num_heads, "mlp_ratio": variant.mlp_ratio}
    sizes |= rates
    if isinstance(variant.depth, tuple):
        encoder = DenseEncoder(variant.depth, variant.growth_rate, **sizes)
    else:
        encoder = DeepNarrowEncoder(variant.depth, block_type=variant.block_type, **sizes)
    for block in encoder.make_blocks():
        tokens = block(tokens)
    return layer_norm(structure.NORM)(tokens)


def build_model(
    variant: Variant,
    images: keras.KerasTensor,
    *,
    inputs: Any = None,
    include_top: bool = True,
    pooling: str | None = None,
    classes: int | None = 1000,
    classifier_activation: Any = None,
    name: str = "t2t_vit",
    drop_rate: float = 0.0,
    attn_drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> keras.Model:
    """A model from (B, H, W, C) normalized images to classes, a vector or tokens.

    Args:
        variant: The model's sizes.
        images: Keras tensor; H and W may be None.
        inputs: The model's inputs, where `images` was computed from them.
        include_top, pooling, classes, ...: As in `t2t_keras.T2TViT`, checked by the caller.

    Returns:
        A `keras.Model`; its last layer, the classifier, computes in no less than float32.

    Reference: arXiv:2101.11986, figure 5; official `t2t_vit.T2T_ViT`.
    """
    rates = {"drop_rate": drop_rate, "attn_drop_rate": attn_drop_rate}
    outputs = build_tokens(images, variant, {**rates, "drop_path_rate": drop_path_rate})
    if include_top:
        pooling = "token"
    if pooling is not None:
        outputs = TokenPooling(pooling, name=structure.POOLING)(outputs)
    if include_top:
        policy = keras.config.dtype_policy()
        half = policy.compute_dtype in ("float16", "bfloat16")
        outputs = keras.layers.Dense(
            classes,
            classifier_activation,
            kernel_initializer=linear_kernel(),
            dtype="float32" if half else policy,
            name=structure.HEAD,
        )(outputs)
    return keras.Model(images if inputs is None else inputs, outputs, name=name)
