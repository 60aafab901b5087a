"""Every public layer, in each of its kinds, with the shapes of its inputs."""

import pytest

import t2t_keras.layers as own

_LAYERS = [
    (lambda: own.SoftSplit(3, 2, 1), (9, 8, 4)),
    (lambda: own.T2TBlock(8, 3, 2, 1), (10, 8, 4)),
    (lambda: own.T2TBlock(8, 3, 2, 1, token_type="transformer"), (10, 8, 4)),
    (lambda: own.TokenPerformer(8), (6, 12)),
    (lambda: own.TokenTransformer(8), (6, 12)),
    (lambda: own.ClassToken(), (3, 5, 8)),
    (lambda: own.PositionTable((3, 5)), (16, 8), (3, 5, 8)),
    (lambda: own.PositionTable((4, 4)), (16, 8), (3, 5, 8)),
    (lambda: own.MultiHeadSelfAttention(2), (5, 8)),
    (lambda: own.GhostAttention(2), (5, 8)),
    (lambda: own.Mlp(3.0), (5, 8)),
    (lambda: own.GhostMlp(), (5, 8)),
    (lambda: own.SqueezeExcite(4), (5, 8)),
    (lambda: own.StochasticDepth(0.1), (5, 8)),
    (lambda: own.EncoderBlock(4, 3.0), (5, 32)),
    (lambda: own.EncoderBlock(4, 3.0, block_type="squeeze_excite"), (5, 32)),
    (lambda: own.EncoderBlock(4, 3.0, block_type="ghost"), (5, 32)),
    (lambda: own.DeepNarrowEncoder(3, 4, 3.0, drop_path_rate=0.1), (5, 32)),
    (lambda: own.DeepNarrowEncoder(3, 4, 3.0, block_type="squeeze_excite"), (5, 32)),
    (lambda: own.DeepNarrowEncoder(3, 4, 3.0, block_type="ghost"), (5, 32)),
    (lambda: own.DenseGrowthBlock(4, 2, 2.0), (5, 8)),
    (lambda: own.Transition(), (5, 8)),
    (lambda: own.DenseEncoder((1, 2), 4, 2, 2.0), (5, 8)),
    (lambda: own.TokenPooling("token"), (5, 8)),
    (lambda: own.TokenPooling("avg"), (5, 8)),
    (lambda: own.TokenPooling("max"), (5, 8)),
    (lambda: own.TokenMap(), (7, 4), (2, 3, 5)),
]
EVERY_LAYER = [
    pytest.param(make, shapes, id=f"{type(make()).__name__}-{number}")
    for number, (make, *shapes) in enumerate(_LAYERS)
]
