"""A model's intermediate outputs for images of any size, and the attention inside a block."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from t2t_keras.errors import check
from t2t_keras.layers import DenseGrowthBlock, EncoderBlock, T2TBlock
from t2t_keras.layers.soft_split import soft_split
from t2t_keras.models.structure import Parts
from t2t_keras.models.t2t_vit import MIN_SIDE

Tensor = Any


def to_numpy(tensor: Tensor) -> np.ndarray:
    """A float32 NumPy array."""
    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32")))


def in_policy_of(layer: keras.layers.Layer, function: Callable, inputs: Any) -> Any:
    """Calls a function as a layer of that policy, so that Keras casts its inputs and weights."""
    return keras.layers.Lambda(function, dtype=layer.dtype_policy)(inputs)


def check_batch(parts: Parts, images: Any) -> None:
    """Raises a ValueError where images are not (B, H, W, C), or smaller than a model takes."""
    shape, channels = tuple(getattr(images, "shape", ())), parts.model.input_shape[-1]
    fit = len(shape) == 4 and shape[-1] == channels and min(shape[1:3]) >= MIN_SIDE
    expected = f"a batch of preprocessed images, (B, H, W, {channels}), "
    expected += f"each side at least {MIN_SIDE} pixels"
    check(fit, "images", f"an array of shape {shape}", expected)


def map_size(parts: Parts, images: Any, name: str) -> tuple[int, int]:
    """Rows and columns of a stage's or block's map, known before anything is computed."""
    check_batch(parts, images)
    shape = tuple(images.shape)
    for layer in parts.stem[: parts.stages.get(name, len(parts.stem) - 1) + 1]:
        shape = layer.compute_output_shape(shape)
    return shape[1:3]


def run(parts: Parts, images: Any, tensors: Sequence[keras.KerasTensor]) -> list[Tensor]:
    """Computes tensors of a model's graph for images of any size; the model is not changed."""
    check_batch(parts, images)
    part = keras.Model(parts.model.inputs[0], list(tensors))
    # `__call__` would insist on the size that the model was built for.
    return keras.tree.flatten(part.call(ops.convert_to_tensor(images, "float32"), training=False))


def map_of(parts: Parts, images: Any, name: str) -> Tensor:
    """The map of a stage or block: (B, h, w, C), without the class token."""
    (outputs,) = run(parts, images, [parts.model.get_layer(name).output])
    if name in parts.stages:
        return outputs
    return ops.reshape(outputs[:, 1:], (-1, *map_size(parts, images, name), outputs.shape[-1]))


def attention_of(block: keras.layers.Layer) -> Any:
    """The `EncoderBlock` with the attention: itself, or in a dense block; None in a transition."""
    inner = block.block if isinstance(block, DenseGrowthBlock) else block
    return inner if isinstance(inner, EncoderBlock) else None


def attending_name(parts: Parts, block: int | str) -> str:
    """The name of an encoder block, which must have attention."""
    name = parts.name_of(block)
    attending = [each.name for each in parts.blocks if attention_of(each) is not None]
    stem = "; `stage_attention` is for the stem" if name in parts.stages else ""
    expected = f"an encoder block with attention, {attending[0]} to {attending[-1]}{stem}"
    check(name in attending, "block", block, expected)
    return name


def attention_inside(
    block: keras.layers.Layer, inputs: Tensor
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """A block's queries, and the function from n of them to their attention weights.

    (B, n, D) queries -> (B, heads, n, N) weights of an encoder block, (B, n, N) of a T2T block.
    """
    if isinstance(block, T2TBlock):
        layer, attention = block, block.token_layer
        split = (block.kernel_size, block.strides, block.padding)
        windows = soft_split(inputs, *split)
        windows = ops.reshape(windows, (len(windows), -1, windows.shape[-1]))
        projected = attention.in_proj(attention.norm1(windows))
        queries, keys, _ = in_policy_of(block, attention.split, projected)
    else:
        inner = attention_of(block)
        layer = attention = inner.attn
        queries, keys, _ = in_policy_of(layer, attention.project, inner.norm1(inputs))

    def weights_of(some: Tensor) -> Tensor:
        return in_policy_of(layer, lambda both: attention.attention_weights(*both), [some, keys])

    return queries, weights_of
