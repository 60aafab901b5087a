"""Multiply-accumulates of a model for one image, counted layer by layer."""

import math
from typing import Any

import keras

from t2t_keras.errors import check
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


def _macs(layer: keras.layers.Layer, positions: int) -> int:
    """Multiply-accumulates of a layer for that number of output tokens or cells."""
    own, children = 0, []  # what only adds, scales or normalizes counts as none
    match layer:
        case keras.layers.Dense() | keras.layers.Conv2D():
            own = positions * math.prod(layer.kernel.shape)
        case T2TBlock():
            children = [layer.token_layer]
        case TokenTransformer():
            own = 2 * positions**2 * layer.token_dim
            children = [layer.in_proj, layer.proj, layer.mlp]
        case TokenPerformer():
            # phi of queries and keys, keys to values, queries to the result, and the normalizer.
            own = positions * layer.random_features.shape[0] * (4 * layer.token_dim + 1)
            children = [layer.in_proj, layer.proj, layer.mlp]
        case Mlp():
            scales = [layer.scale2, layer.scale3] if isinstance(layer, GhostMlp) else []
            own = positions * sum(scale.shape[0] for scale in scales)
            children = [layer.fc1, layer.fc2]
        case GhostAttention():
            own = 2 * positions**2 * layer.proj.units + 3 * positions * layer.query.units
            children = [layer.query, layer.key, layer.value, layer.proj]
        case MultiHeadSelfAttention():
            own = 2 * positions**2 * layer.proj.units
            children = [layer.qkv, layer.proj]
        case SqueezeExcite():
            gate = _macs(layer.squeeze, 1) + _macs(layer.excite, 1)
            own = gate + positions * layer.excite.units
        case EncoderBlock():
            gates = [layer.squeeze_excite] if layer.squeeze_excite is not None else []
            children = [layer.attn, layer.mlp, *gates]
        case DenseGrowthBlock():
            children = [layer.block, layer.growth]
        case Transition():
            children = [layer.linear]
        case Encoder():
            children = layer.blocks
    return own + sum(_macs(child, positions) for child in children)


def count_macs(model: keras.Model, input_shape: tuple[int, int, int] | None = None) -> int:
    """Multiply-accumulates of a model for one image, without gradients.

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
    expected = "(height, width, channels) where the model takes any size"
    check(None not in shape, "input_shape", input_shape, expected)
    counts = []

    def count(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        outputs = layer(*args, **kwargs)
        if isinstance(layer, keras.Model):
            counts.append(count_macs(layer, args[0].shape[1:]))
        elif isinstance(outputs, keras.KerasTensor):
            counts.append(_macs(layer, math.prod(outputs.shape[1:-1])))
        return outputs

    # Calls the very layers once more, on an image of that size; a Sequential takes no `count`.
    graph = keras.Model(model.inputs[0], model.outputs)
    keras.models.clone_model(graph, keras.Input(shape), lambda layer: layer, count)
    return sum(counts)
