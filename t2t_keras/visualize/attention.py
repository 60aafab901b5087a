"""What attends to what, as arrays: the very weights that the layers mix their values with."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from t2t_keras.layers import T2TBlock
from t2t_keras.models.structure import Parts, parts_of
from t2t_keras.visualize.forward import (
    attention_of,
    map_size,
    pieces,
    projections,
    stage_projections,
    stage_weights,
    stem_before,
    to_numpy,
    walk_encoder,
    weights_of,
)
from t2t_keras.visualize.maps import cells_at


def attention_blocks(model: keras.Model) -> list[str]:
    """Names of the encoder's blocks that have attention, in order.

    Raises:
        ValueError: The model is not of this package.
    """
    return [b.name for b in parts_of(model).blocks if attention_of(b) is not None]


def attending_name(parts: Parts, block: int | str) -> str:
    """The name of an encoder block that has attention.

    Raises:
        ValueError: It has none.
    """
    name = parts.name_of(block)
    attending = [b.name for b in parts.blocks if attention_of(b) is not None]
    if name not in attending:
        raise ValueError(
            f"`block` must be an encoder block with attention, {attending[0]} to {attending[-1]}"
            f"{'; `stage_attention` is for the stem' if name in parts.stages else ''}. "
            f"Received: block={block}"
        )
    return name


def class_attention(
    model: keras.Model, images: Any, blocks: Sequence[int | str] | None = None
) -> np.ndarray:
    """How much the class token attends to each patch, in every head.

    Args:
        model: A model of this package.
        images: (B, H, W, C) preprocessed images of any size from 16 pixels up.
        blocks: Names or numbers of encoder blocks; None is all of them (`attention_blocks`).

    Returns:
        (B, L, heads, h, w) float32, a row of L a block. Those of a head sum to 1 less what the
        class token pays itself.

    Raises:
        ValueError: There is no block, one is unknown or has no attention, or the images do not
            fit.
    """
    parts = parts_of(model)
    wanted = attention_blocks(model) if blocks is None else blocks
    names = [attending_name(parts, block) for block in wanted]
    if not names:
        raise ValueError("`blocks` must hold at least one block, or be None. Received: blocks=[]")
    feature_map = stem_before(parts, images)
    found = {}
    for block, inputs in walk_encoder(parts, feature_map):
        if block is not None and block.name in names:
            inner = attention_of(block)
            queries, keys, _ = projections(inner, inputs)
            weights = to_numpy(weights_of(inner, queries[:, :1], keys))[:, :, 0, 1:]
            found[block.name] = weights.reshape(*weights.shape[:2], *feature_map.shape[1:3])
        if len(found) == len(set(names)):
            break
    return np.stack([found[name] for name in names], axis=1)


def token_attention(
    model: keras.Model, images: Any, block: int | str, queries: Sequence[int] | None = None
) -> np.ndarray:
    """The attention weights of one encoder block.

    Args:
        model: A model of this package.
        images: (B, H, W, C) preprocessed images.
        block: Name or number of the block.
        queries: Which tokens' weights to give: 0 is the class token, 1 + row * w + column a patch.
            None gives all, N * N weights a head.

    Returns:
        (B, heads, Q, N) float32; a row sums to 1.

    Raises:
        ValueError: The block is unknown or has no attention, there is no such token, or the
            images do not fit.
    """
    parts = parts_of(model)
    name = attending_name(parts, block)
    count = 1 + math.prod(map_size(parts, images, name))
    wanted = np.arange(count) if queries is None else np.asarray(queries)
    if not wanted.size or not np.all((0 <= wanted) & (wanted < count)):
        raise ValueError(
            f"`queries` must be numbers of tokens, 0 to {count - 1}. Received: queries={queries}"
        )
    steps = walk_encoder(parts, stem_before(parts, images))
    found, inputs = next((b, tokens) for b, tokens in steps if b.name == name)
    inner = attention_of(found)
    asking, keys, _ = projections(inner, inputs)
    asking = ops.take(asking, wanted, axis=1)
    rows = pieces(len(wanted), inner.attn.num_heads * count, len(inputs))
    return np.concatenate([to_numpy(weights_of(inner, asking[:, r], keys)) for r in rows], axis=2)


def stage_attention(
    model: keras.Model, images: Any, stage: str, points: Sequence[tuple[float, float]]
) -> np.ndarray:
    """How much a window of the stem attends to each other one.

    In a performer these weights are implicit: phi(q) phi(k)^T over its row sums. They are computed
    here for the windows asked for, and nowhere else.

    Args:
        model: A model of this package with performers or transformers in its stem.
        images: (B, H, W, C) preprocessed images.
        stage: "t2t_block_0" or "t2t_block_1".
        points: (y, x) in pixels; each stands for the window whose center is nearest.

    Returns:
        (B, Q, h, w) float32; those of a point sum to 1, or to less in a performer
        whose features are near 0.

    Raises:
        ValueError: The stage has no attention, a point lies outside, or the images do not fit.
    """
    parts = parts_of(model)
    attending = [layer.name for layer in parts.stem if isinstance(layer, T2TBlock)]
    if stage not in attending:
        raise ValueError(
            f"`stage` must be one of {', '.join(attending) or 'none: its stem has no attention'}. "
            f"Received: stage={stage}"
        )
    height, width = map_size(parts, images, stage)
    cells = cells_at(points, np.shape(images)[1:3], parts.grid_of(stage), (height, width))
    layer, inputs = parts.stem[parts.stages[stage]], stem_before(parts, images, stage)
    (queries, keys, _), _ = stage_projections(layer, inputs)
    asking = ops.take(queries, [row * width + column for row, column in cells], axis=1)
    weights = to_numpy(stage_weights(layer, asking, keys))
    return weights.reshape(*weights.shape[:2], height, width)


def attention_rollout(model: keras.Model, images: Any) -> np.ndarray:
    """How much of each patch reaches the class token, through all blocks together.

    Every block passes on half of what it got (its skip connection) and half of what its heads, on
    average, mix; the blocks' matrices are multiplied from the class token's row on.

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
    feature_map = stem_before(parts, images)
    steps = [(attention_of(block), inputs) for block, inputs in walk_encoder(parts, feature_map)]
    batch, count = steps[0][1].shape[:2]
    reached = np.zeros((batch, count), np.float32)
    reached[:, 0] = 1.0
    for inner, inputs in reversed(steps):
        if inner is not None:
            reached = 0.5 * reached + 0.5 * _passed_down(inner, inputs, reached)
    return reached[:, 1:].reshape(batch, *feature_map.shape[1:3])


def _passed_down(inner, inputs: Any, reached: np.ndarray) -> np.ndarray:
    """(B, N) shares of a block's outputs -> of its inputs."""
    queries, keys, _ = projections(inner, inputs)
    batch, count = reached.shape
    below = np.zeros_like(reached)
    for rows in pieces(count, inner.attn.num_heads * count, batch):
        weights = ops.mean(ops.cast(weights_of(inner, queries[:, rows], keys), "float32"), axis=1)
        below += to_numpy(ops.einsum("bq,bqn->bn", reached[:, rows], weights))
    return below
