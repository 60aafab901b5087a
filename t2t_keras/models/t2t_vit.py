"""Functional T2T-ViT graphs with random weights: stem, encoder, classifier."""

import keras

from t2t_keras.layers import (
    ClassToken,
    DeepNarrowEncoder,
    DenseEncoder,
    PositionTable,
    TokenPooling,
)
from t2t_keras.layers.primitives import convolution_kernel, linear_kernel
from t2t_keras.layers.soft_split import split_size
from t2t_keras.layers.t2t_block import T2TBlock
from t2t_keras.models import structure
from t2t_keras.variants import Variant


def grid_size(height: int, width: int, variant: Variant) -> tuple[int, int]:
    """Rows and columns of tokens that the stem makes of an image of that size in pixels."""
    sizes = [height, width]
    for split in variant.soft_splits:
        sizes = [split_size(size, *split) for size in sizes]
    return tuple(sizes)


def _convolution(feature_map, filters: int, split, kernel_initializer, name: str):
    kernel_size, strides, padding = split
    padded = keras.layers.ZeroPadding2D(
        padding, data_format="channels_last", name=structure.padding_name(name)
    )(feature_map)
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        strides,
        data_format="channels_last",
        kernel_initializer=kernel_initializer,
        name=name,
    )(padded)


def build_stem(images, variant: Variant):
    """Applies the T2T module: (B, H, W, C) images -> (B, h, w, embed_dim) feature map.

    The last soft split and its linear layer are one convolution: no token layer follows it.

    Reference: arXiv:2101.11986, section 3.1; official `t2t_vit.T2T_module`.
    """
    feature_map = images
    first_splits, last_split = variant.soft_splits[:-1], variant.soft_splits[-1]
    if variant.token_type == "convolution":
        for name, split in zip(structure.CONVOLUTIONS, first_splits, strict=True):
            feature_map = _convolution(
                feature_map, variant.token_dim, split, convolution_kernel(), name
            )
        project_kernel = convolution_kernel()
    else:
        for name, split in zip(structure.T2T_BLOCKS, first_splits, strict=True):
            feature_map = T2TBlock(
                variant.token_dim, *split, token_type=variant.token_type, name=name
            )(feature_map)
        project_kernel = linear_kernel()
    return _convolution(
        feature_map, variant.embed_dim, last_split, project_kernel, structure.PROJECT
    )


def _encoder(variant: Variant, drop_rates: dict) -> keras.layers.Layer:
    sizes = {"num_heads": variant.num_heads, "mlp_ratio": variant.mlp_ratio}
    if variant.block_type == "dense":
        return DenseEncoder(
            variant.depth, variant.growth_rate, **sizes, **drop_rates, name=structure.ENCODER
        )
    return DeepNarrowEncoder(
        variant.depth, **sizes, **drop_rates, block_type=variant.block_type, name=structure.ENCODER
    )


def build_tokens(images, variant: Variant, drop_rates: dict):
    """(B, H, W, C) normalized images -> (B, 1 + h * w, D) encoded tokens, the class token first."""
    feature_map = build_stem(images, variant)
    height, width = (side or variant.image_size for side in images.shape[1:3])
    positions = PositionTable(grid_size(height, width, variant), name=structure.POSITION_TABLE)
    tokens = positions(ClassToken(name=structure.CLASS_TOKEN)(feature_map), feature_map)
    tokens = keras.layers.Dropout(drop_rates["drop_rate"], name="position_drop")(tokens)
    return _encoder(variant, drop_rates).as_nodes(tokens)


def build_model(
    variant: Variant,
    images,
    *,
    inputs,
    include_top: bool,
    pooling: str | None,
    classes: int,
    classifier_activation,
    name: str,
    drop_rates: dict,
) -> keras.Model:
    """The functional model from `inputs` through `images` to classes, a vector or tokens.

    Args:
        variant: The model's sizes.
        images: (B, H, W, C) Keras tensor, the normalized images; H and W may be None.
        inputs: What the model is called on; `images` or what it was computed from.
        include_top: Whether the class token goes through the classifier.
        pooling: Without the classifier: None (all tokens), "token", "avg" or "max".
        classes: Number of classes.
        classifier_activation: Keras activation of the classifier; None gives logits.
        name: The model's name.
        drop_rates: `drop_rate`, `attn_drop_rate` and `drop_path_rate`, each in [0, 1).

    Returns:
        A `keras.Model`; its last layer computes in float32 under any policy.

    Reference: arXiv:2101.11986, figure 5; official `t2t_vit.T2T_ViT`.
    """
    outputs = build_tokens(images, variant, drop_rates)
    if include_top:
        vector = TokenPooling("token", name=structure.POOLING)(outputs)
        logits = keras.layers.Dense(
            classes, kernel_initializer=linear_kernel(), name=structure.HEAD
        )(vector)
        outputs = keras.layers.Activation(
            classifier_activation, dtype="float32", name=structure.PREDICTIONS
        )(logits)
    elif pooling is not None:
        outputs = TokenPooling(pooling, name=structure.POOLING)(outputs)
    return keras.Model(inputs, outputs, name=name)
