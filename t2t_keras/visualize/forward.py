"""An image's way through a model, layer by layer, with attention over all tokens in pieces.

Attention of N tokens is a matrix of N * N weights a head: at 1024 pixels and above more than the
memory holds. No query hangs on another one, so only some rows are made at a time. An image may
have any size, whatever size the model was built for; the model is not changed.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from t2t_keras.layers import DenseGrowthBlock, EncoderBlock, T2TBlock, TokenTransformer
from t2t_keras.models.structure import NORM, Parts

MAX_WEIGHTS = 16 * 2**20  # attention weights at a time: 64 MiB in float32
MIN_SIDE = 16


def in_policy_of(layer: keras.layers.Layer, function: Callable[[Any], Any], inputs: Any) -> Any:
    """Calls a function as if it were part of a layer: under its precision."""
    return keras.layers.Lambda(function, dtype=layer.dtype_policy)(inputs)


def to_numpy(tensor: Any) -> np.ndarray:
    """A float32 NumPy array."""
    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32")))


def check_images(parts: Parts, images: Any) -> None:
    """Raises a ValueError where images are not (B, H, W, C), or smaller than a model takes."""
    shape = tuple(getattr(images, "shape", ()))
    channels = parts.model.input_shape[-1]
    if len(shape) != 4 or shape[-1] != channels or min(shape[1:3]) < MIN_SIDE:
        raise ValueError(
            f"`images` must be a batch of preprocessed images, (B, H, W, {channels}), each side "
            f"at least {MIN_SIDE} pixels. Received: images of shape {shape}"
        )


def map_size(parts: Parts, images: Any, name: str) -> tuple[int, int]:
    """The rows and columns of a stage's or block's map, known before anything is computed.

    Raises:
        ValueError: The images do not fit.
    """
    check_images(parts, images)
    shape = tuple(images.shape)
    for layer in parts.stem[: parts.stages.get(name, len(parts.stem) - 1) + 1]:
        shape = layer.compute_output_shape(shape)
    return shape[1:3]


def _taken(parts: Parts, images: Any) -> Any:
    """(B, H, W, C) images as the stem takes them, behind what a model does before it."""
    check_images(parts, images)
    images = ops.convert_to_tensor(images, dtype="float32")
    taken = parts.stem[0].input
    if taken is parts.model.inputs[0]:
        return images
    return keras.Model(parts.model.input, taken)(images, training=False)


def pieces(count: int, rows_of: int, batch: int = 1) -> Iterator[slice]:
    """Slices of `count` queries, so many that a piece has at most `MAX_WEIGHTS` weights.

    Args:
        count: Number of queries.
        rows_of: Weights of one query: heads times tokens.
        batch: Number of images.
    """
    size = max(1, MAX_WEIGHTS // (rows_of * batch))
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def attention_of(block: keras.layers.Layer) -> EncoderBlock | None:
    """The block with the attention in it: itself, or inside a dense block; None in a transition."""
    inner = block.block if isinstance(block, DenseGrowthBlock) else block
    return inner if isinstance(inner, EncoderBlock) else None


def projections(inner: EncoderBlock, inputs: Any) -> list[Any]:
    """Queries, keys and values of a block's inputs, each (B, N, D)."""
    return in_policy_of(inner.attn, inner.attn.project, inner.norm1(inputs))


def weights_of(inner: EncoderBlock, queries: Any, keys: Any) -> Any:
    """(B, n, D) queries, (B, N, D) keys -> (B, heads, n, N), as the layer computes them."""
    return in_policy_of(
        inner.attn, lambda both: inner.attn.attention_weights(*both), [queries, keys]
    )


def _attend(inner: EncoderBlock, inputs: Any) -> Any:
    queries, keys, values = projections(inner, inputs)
    batch, count = queries.shape[:2]
    attended = [
        in_policy_of(
            inner.attn, lambda parts: inner.attn.attend(*parts), [queries[:, rows], keys, values]
        )
        for rows in pieces(count, inner.attn.num_heads * count, batch)
    ]
    return attended[0] if len(attended) == 1 else ops.concatenate(attended, axis=1)


def finish_block(block: keras.layers.Layer, inputs: Any, attended: Any) -> Any:
    """What a block makes of its inputs and of what its attention made of them."""
    inner = attention_of(block)
    outputs = in_policy_of(inner, lambda both: inner.add_branches(*both), [inputs, attended])
    if inner is block:
        return outputs
    return in_policy_of(block, lambda both: block.grow(*both), [inputs, outputs])


def run_block(block: keras.layers.Layer, tokens: Any) -> Any:
    """A block of the encoder: (B, N, D) -> (B, N, E)."""
    inner = attention_of(block)
    if inner is None:
        return block(tokens)
    return finish_block(block, tokens, _attend(inner, tokens))


def stage_projections(block: T2TBlock, feature_map: Any) -> tuple[list[Any], tuple[int, int]]:
    """Queries, keys and values of a T2T block, each (B, h * w, token_dim), and (h, w)."""
    projected = in_policy_of(block, block.project, feature_map)
    height, width, channels = projected.shape[1:]
    tokens = ops.reshape(projected, (-1, height * width, channels))
    return list(in_policy_of(block, block.token_layer.split, tokens)), (height, width)


def stage_weights(block: T2TBlock, queries: Any, keys: Any) -> Any:
    """(B, n, token_dim) queries, (B, N, token_dim) keys -> (B, n, N) weights."""
    return in_policy_of(
        block, lambda both: block.token_layer.attention_weights(*both), [queries, keys]
    )


def _run_transformer(block: T2TBlock, feature_map: Any) -> Any:
    """A T2T block with full attention; the performer needs no pieces."""
    layer = block.token_layer
    (queries, keys, values), (height, width) = stage_projections(block, feature_map)
    batch, count = queries.shape[:2]
    mixed = [
        ops.matmul(stage_weights(block, queries[:, rows], keys), values)
        for rows in pieces(count, count, batch)
    ]
    attended = mixed[0] if len(mixed) == 1 else ops.concatenate(mixed, axis=1)
    tokens = in_policy_of(layer, lambda both: layer.add_branches(*both), [values, attended])
    return ops.reshape(tokens, (-1, height, width, block.token_dim))


def run_layer(layer: keras.layers.Layer, feature_map: Any) -> Any:
    """A layer of the stem, from map to map."""
    if isinstance(layer, T2TBlock) and isinstance(layer.token_layer, TokenTransformer):
        return _run_transformer(layer, feature_map)
    return layer(feature_map)


def stem_before(parts: Parts, images: Any, name: str | None = None) -> Any:
    """The map that goes into a stage of the stem; None stands for what follows the stem."""
    feature_map = _taken(parts, images)
    for layer in parts.stem:
        if layer.name == name:
            break
        feature_map = run_layer(layer, feature_map)
    return feature_map


def tokens_of(parts: Parts, feature_map: Any) -> Any:
    """The encoder's tokens of the stem's last map: (B, h, w, D) -> (B, 1 + h * w, D)."""
    return parts.position_table(parts.class_token(feature_map), feature_map)


def walk_encoder(parts: Parts, feature_map: Any) -> Iterator[tuple[keras.layers.Layer | None, Any]]:
    """Every block with the tokens that go into it; at last None, with those of the last block.

    A block is run when the next pair is asked for.
    """
    tokens = tokens_of(parts, feature_map)
    for block in parts.blocks:
        yield block, tokens
        tokens = run_block(block, tokens)
    yield None, tokens


def logits_of(parts: Parts, tokens: Any) -> Any:
    """(B, N, E) tokens behind the last block -> (B, classes) float32 logits."""
    return ops.cast(parts.head(parts.pooling(parts.norm(tokens))), "float32")


def map_of(parts: Parts, images: Any, name: str) -> Any:
    """The map of a stage or block: (B, h, w, C), without the class token."""
    if name in parts.stages:
        return run_layer(parts.stem[parts.stages[name]], stem_before(parts, images, name))
    feature_map = stem_before(parts, images)
    names = parts.block_names()
    behind = len(names) if name == NORM else names.index(name) + 1
    _, tokens = next(itertools.islice(walk_encoder(parts, feature_map), behind, None))
    if name == NORM:
        tokens = parts.norm(tokens)
    return ops.reshape(tokens[:, 1:], (-1, *feature_map.shape[1:3], tokens.shape[-1]))
