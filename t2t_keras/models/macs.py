"""Multiply-accumulates of a model for one image, counted layer by layer."""

import functools
import math

import keras

from t2t_keras.layers import (
    DenseGrowthBlock,
    EncoderBlock,
    GhostAttention,
    GhostMlp,
    Mlp,
    MultiHeadSelfAttention,
    SqueezeExcite,
    T2TBlock,
    TokenPerformer,
    TokenTransformer,
    Transition,
)
from t2t_keras.layers.encoder import Encoder
from t2t_keras.layers.token_layers import TokenLayer


def _linear(dense: keras.layers.Dense, positions: int) -> int:
    return positions * math.prod(dense.kernel.shape)


@functools.singledispatch
def _macs(layer, input_shape) -> int:
    """Multiply-accumulates of a layer; what only adds, scales or normalizes counts as none."""
    return 0


@_macs.register
def _(layer: keras.layers.Dense, input_shape):
    return _linear(layer, math.prod(input_shape[1:-1]))


@_macs.register
def _(layer: keras.layers.Conv2D, input_shape):
    output_shape = layer.compute_output_shape(input_shape)
    return math.prod(output_shape[1:3]) * math.prod(layer.kernel.shape)


@_macs.register
def _(layer: T2TBlock, input_shape):
    output_shape = layer.compute_output_shape(input_shape)
    return _macs(layer.token_layer, (None, math.prod(output_shape[1:3]), None))


def _token_layer(layer: TokenLayer, tokens: int) -> int:
    projections = _linear(layer.in_proj, tokens) + _linear(layer.proj, tokens)
    return projections + _macs(layer.mlp, (None, tokens, None))


@_macs.register
def _(layer: TokenTransformer, input_shape):
    tokens = input_shape[1]
    return _token_layer(layer, tokens) + 2 * tokens**2 * layer.token_dim


@_macs.register
def _(layer: TokenPerformer, input_shape):
    tokens, features = input_shape[1], layer.random_features.shape[0]
    # phi of queries and keys, keys to values, queries to the result, and the normalizer.
    attention = tokens * features * (4 * layer.token_dim + 1)
    return _token_layer(layer, tokens) + attention


@_macs.register
def _(layer: Mlp, input_shape):
    return _linear(layer.fc1, input_shape[1]) + _linear(layer.fc2, input_shape[1])


@_macs.register
def _(layer: GhostMlp, input_shape):
    scales = input_shape[1] * 2 * layer.scale2.shape[0]
    return scales + _linear(layer.fc1, input_shape[1]) + _linear(layer.fc2, input_shape[1])


def _attention(layer: MultiHeadSelfAttention, tokens: int) -> int:
    return _linear(layer.proj, tokens) + 2 * tokens**2 * layer.proj.kernel.shape[0]


@_macs.register
def _(layer: MultiHeadSelfAttention, input_shape):
    return _linear(layer.qkv, input_shape[1]) + _attention(layer, input_shape[1])


@_macs.register
def _(layer: GhostAttention, input_shape):
    tokens = input_shape[1]
    halves = sum(_linear(half, tokens) for half in (layer.query, layer.key, layer.value))
    return halves + 3 * tokens * layer.query.units + _attention(layer, tokens)


@_macs.register
def _(layer: SqueezeExcite, input_shape):
    return _linear(layer.squeeze, 1) + _linear(layer.excite, 1) + math.prod(input_shape[1:])


@_macs.register
def _(layer: EncoderBlock, input_shape):
    total = _macs(layer.attn, input_shape) + _macs(layer.mlp, input_shape)
    if layer.squeeze_excite is not None:
        total += _macs(layer.squeeze_excite, input_shape)
    return total


@_macs.register
def _(layer: DenseGrowthBlock, input_shape):
    return _macs(layer.block, input_shape) + _linear(layer.growth, input_shape[1])


@_macs.register
def _(layer: Transition, input_shape):
    return _linear(layer.linear, input_shape[1])


@_macs.register
def _(layer: Encoder, input_shape):
    total = 0
    for block in layer.blocks:
        total += _macs(block, input_shape)
        input_shape = block.compute_output_shape(input_shape)
    return total


def count_macs(model: keras.Model, input_shape: tuple[int, int, int] | None = None) -> int:
    """Multiply-accumulates of one image's way through a model, without gradients.

    Counted are linear layers, convolutions and the products inside attention, as the paper does;
    not activations, softmax, normalization or the position table. The stem counts as it is computed
    here: its unfolding is part of a convolution.

    Args:
        model: A model of this package, or any functional model of its layers, Dense and Conv2D.
        input_shape: (height, width, channels) of the image; default the model's own.

    Returns:
        The number of multiply-accumulates; two floating-point operations each.

    Raises:
        ValueError: The model takes any image size and `input_shape` is not given.
    """
    shape = tuple(input_shape or model.input_shape[1:])
    if None in shape:
        raise ValueError(
            "`input_shape` must be (height, width, channels) where the model takes any size. "
            f"Received: input_shape={input_shape}"
        )
    if tuple(model.input_shape[1:]) != shape:
        model = keras.models.clone_model(model, input_tensors=keras.Input(shape))
    layers = [layer for layer in model.layers if isinstance(layer.input, keras.KerasTensor)]
    return sum(_macs(layer, layer.input.shape) for layer in layers)


@_macs.register
def _(layer: keras.Model, input_shape):
    return count_macs(layer, input_shape[1:])
