"""The weights that the layers mix their values with, as arrays: which tokens attend to which."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from t2t_keras.errors import check
from t2t_keras.layers import T2TBlock
from t2t_keras.layers.attention import query_slices
from t2t_keras.models.structure import parts_of
from t2t_keras.visualize.forward import (
    attending_name,
    attention_inside,
    attention_of,
    map_size,
    run,
    to_numpy,
)
from t2t_keras.visualize.maps import cells_at


def attention_blocks(model: keras.Model) -> list[str]:
    """Names of the encoder's blocks that have attention, in order.

    Raises:
        ValueError: The model is not of this package.
    """
    return [block.name for block in parts_of(model).blocks if attention_of(block) is not None]


def class_attention(
    model: keras.Model, images: Any, blocks: Sequence[int | str] | None = None
) -> np.ndarray:
    """Attention of the class token to each patch, in every head.

    Args:
        model: A model of this package.
        images: (B, H, W, C) preprocessed images of any size from 16 pixels up.
        blocks: Names or numbers of encoder blocks; None is all of them (`attention_blocks`).

    Returns:
        (B, blocks, heads, h, w) float32. A head's weights sum to 1 minus the class token's
        attention to itself.

    Raises:
        ValueError: There is no block, one is unknown or has no attention, or the images do not
            fit.
    """
    parts = parts_of(model)
    wanted = attention_blocks(model) if blocks is None else blocks
    names = [attending_name(parts, block) for block in wanted]
    check(bool(names), "blocks", wanted, "None or a list of at least one block")
    layers = [model.get_layer(name) for name in names]
    inputs_of = run(parts, images, [layer.input for layer in layers])
    by_block = [_weights(*block, [0]) for block in zip(layers, inputs_of, strict=True)]
    weights = np.stack(by_block, axis=1)[..., 0, 1:]
    return weights.reshape(*weights.shape[:3], *map_size(parts, images, names[0]))


def token_attention(
    model: keras.Model, images: Any, block: int | str, queries: Sequence[int] | None = None
) -> np.ndarray:
    """The attention weights of one encoder block.

    Args:
        model: A model of this package.
        images: (B, H, W, C) preprocessed images.
        block: Name or number of the block.
        queries: Numbers of the tokens whose weights to give: 0 is the class token, 1 + row * w +
            column a patch. None gives all, N * N weights per head.

    Returns:
        (B, heads, Q, N) float32; a row sums to 1.

    Raises:
        ValueError: The block is unknown or has no attention, there is no such token, or the
            images do not fit.
    """
    parts = parts_of(model)
    layer = model.get_layer(attending_name(parts, block))
    count = 1 + math.prod(map_size(parts, images, layer.name))
    wanted = np.arange(count) if queries is None else np.asarray(queries)
    valid = wanted.size > 0 and bool(np.all((0 <= wanted) & (wanted < count)))
    check(valid, "queries", queries, f"numbers of tokens, 0 to {count - 1}")
    (inputs,) = run(parts, images, [layer.input])
    return _weights(layer, inputs, wanted)


def _weights(layer: keras.layers.Layer, inputs: Any, numbers: Any) -> np.ndarray:
    """(B, heads, Q, N) attention weights of an encoder block for the queries of those numbers."""
    queries, weights_of = attention_inside(layer, inputs)
    queries = ops.take(queries, numbers, axis=1)
    batch, count = inputs.shape[:2]
    slices = query_slices(len(numbers), layer.num_heads * count * batch)
    return np.concatenate([to_numpy(weights_of(queries[:, rows])) for rows in slices], axis=2)


def stage_attention(
    model: keras.Model, images: Any, stage: str, points: Sequence[tuple[float, float]]
) -> np.ndarray:
    """Attention of a window of the stem to each other one.

    In a performer these weights are implicit: phi(q) phi(k)^T over its row sums. They are computed
    here for the windows asked for, and nowhere else.

    Args:
        model: A model of this package with performers or transformers in its stem.
        images: (B, H, W, C) preprocessed images.
        stage: "t2t_block_0" or "t2t_block_1".
        points: (y, x) in pixels; each selects the window whose center is nearest.

    Returns:
        (B, Q, h, w) float32; those of a point sum to 1, or to less in a performer whose features
        are near 0.

    Raises:
        ValueError: The stage has no attention, a point lies outside, or the images do not fit.
    """
    parts = parts_of(model)
    attending = [layer.name for layer in parts.stem if isinstance(layer, T2TBlock)]
    names = ", ".join(attending) or "none: its stem has no attention"
    check(stage in attending, "stage", stage, f"one of {names}")
    height, width = map_size(parts, images, stage)
    cells = cells_at(points, np.shape(images)[1:3], parts.grid_of(stage), (height, width))
    layer = model.get_layer(stage)
    queries, weights_of = attention_inside(layer, *run(parts, images, [layer.input]))
    asking = ops.take(queries, [row * width + column for row, column in cells], axis=1)
    return to_numpy(weights_of(asking)).reshape(len(queries), -1, height, width)


def attention_rollout(model: keras.Model, images: Any) -> np.ndarray:
    """The part of each patch that reaches the class token through all blocks together.

    Every block passes on half of its inputs (its skip connection) and half of what its heads, on
    average, mix; the blocks' matrices are multiplied, starting with the class token's row.

    Args:
        model: A model of this package.
        images: (B, H, W, C) preprocessed images.

    Returns:
        (B, h, w) float32, at least 0.

    Raises:
        ValueError: The model is not of this package, or the images do not fit.

    Reference: arXiv:2005.00928, section 3.
    """
    parts = parts_of(model)
    layers = [block for block in parts.blocks if attention_of(block) is not None]
    inputs_of = run(parts, images, [layer.input for layer in layers])
    reached = np.zeros(inputs_of[0].shape[:2], np.float32)
    reached[:, 0] = 1.0
    for layer, inputs in zip(reversed(layers), reversed(inputs_of), strict=True):
        reached = 0.5 * reached + 0.5 * _passed_down(layer, inputs, reached)
    return reached[:, 1:].reshape(len(reached), *map_size(parts, images, layers[0].name))


def _passed_down(layer: keras.layers.Layer, inputs: Any, reached: np.ndarray) -> np.ndarray:
    """(B, N) parts of a block's outputs -> of its inputs."""
    queries, weights_of = attention_inside(layer, inputs)
    batch, count = reached.shape
    below = np.zeros_like(reached)
    for rows in query_slices(count, layer.num_heads * count * batch):
        weights = ops.mean(ops.cast(weights_of(queries[:, rows]), "float32"), axis=1)
        below += to_numpy(ops.einsum("bq,bqn->bn", reached[:, rows], weights))
    return below
