"""The stem: a picture becomes a small map of tokens."""

import keras

from t2t_keras.layers.initializers import convolution_kernel, linear_kernel
from t2t_keras.layers.soft_split import split_size
from t2t_keras.layers.t2t_block import T2TBlock
from t2t_keras.variants import Variant


def grid_size(height: int, width: int, variant: Variant) -> tuple[int, int]:
    """Rows and columns of tokens that the stem makes of a picture of that size in pixels."""
    sizes = [height, width]
    for split in variant.soft_splits:
        sizes = [split_size(size, *split) for size in sizes]
    return tuple(sizes)


def _convolution(feature_map, filters: int, split, kernel_initializer, name: str):
    kernel_size, strides, padding = split
    padded = keras.layers.ZeroPadding2D(
        padding, data_format="channels_last", name=f"{name}_padding"
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
        for index, split in enumerate(first_splits):
            feature_map = _convolution(
                feature_map, variant.token_dim, split, convolution_kernel(), f"convolution_{index}"
            )
        project_kernel = convolution_kernel()
    else:
        for index, split in enumerate(first_splits):
            feature_map = T2TBlock(
                variant.token_dim,
                *split,
                token_type=variant.token_type,
                name=f"t2t_block_{index}",
            )(feature_map)
        project_kernel = linear_kernel()
    return _convolution(feature_map, variant.embed_dim, last_split, project_kernel, "project")
