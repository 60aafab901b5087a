"""Squeeze-excitation, ghost features, dense growth and pooling."""

import numpy as np
import pytest

from t2t_keras.layers import (
    DenseEncoder,
    DenseGrowthBlock,
    GhostAttention,
    GhostMlp,
    SqueezeExcite,
    TokenPooling,
    Transition,
)
from tests.support.check_layer import check_layer, numpy, random


@pytest.mark.parametrize(
    "layer",
    [
        SqueezeExcite(4),
        GhostAttention(2),
        GhostMlp(),
        DenseGrowthBlock(4, 2, 2.0),
        Transition(),
        DenseEncoder((1, 2), 4, 2, 2.0),
        TokenPooling("token"),
        TokenPooling("avg"),
        TokenPooling("max"),
    ],
    ids=lambda layer: layer.name,
)
def test_layer(layer, tmp_path):
    check_layer(layer, random(2, 5, 8), tmp_path=tmp_path)


def test_dense_block_keeps_its_input():
    tokens = random(2, 5, 8)
    outputs = numpy(DenseGrowthBlock(4, 2, 2.0)(tokens))
    np.testing.assert_array_equal(outputs[..., :8], tokens)


def test_ghost_halves_are_scaled_copies():
    layer = GhostAttention(2)
    layer.build((None, 5, 8))
    for projected, scale in zip(
        layer.project(random(2, 5, 8)),
        (layer.query_scale, layer.key_scale, layer.value_scale),
        strict=True,
    ):
        first, second = np.split(numpy(projected), 2, axis=-1)
        np.testing.assert_allclose(second, first * numpy(scale), rtol=1e-6)


def test_pooling_leaves_the_class_token_to_itself():
    tokens = random(2, 5, 8)
    np.testing.assert_array_equal(numpy(TokenPooling("token")(tokens)), tokens[:, 0])
    np.testing.assert_allclose(
        numpy(TokenPooling("avg")(tokens)), tokens[:, 1:].mean(axis=1), atol=1e-6
    )
    np.testing.assert_array_equal(numpy(TokenPooling("max")(tokens)), tokens[:, 1:].max(axis=1))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SqueezeExcite(0), "`reduction` must be at least 1"),
        (lambda: SqueezeExcite(16).build((None, 5, 8)), "`reduction` must be at most"),
        (lambda: GhostMlp(2.0), "`mlp_ratio` must be 3"),
        (lambda: GhostAttention(1).build((None, 5, 7)), "even width"),
        (lambda: DenseGrowthBlock(0, 2, 2.0), "`growth_rate` must be at least 1"),
        (lambda: DenseEncoder((), 4, 2, 2.0), "`depth` must be a tuple with a number"),
        (lambda: TokenPooling("sum"), "`pooling` must be one of"),
    ],
)
def test_wrong_arguments_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
