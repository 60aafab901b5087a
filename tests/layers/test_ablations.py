"""Squeeze-excitation, ghost features and dense growth."""

import numpy as np

from t2t_keras.layers import DenseGrowthBlock, GhostAttention
from tests.support.check_layer import numpy, random, run


def test_dense_block_keeps_its_input():
    tokens = random(2, 5, 8)
    block = DenseGrowthBlock(4, 2, 2.0)
    block.build(tokens.shape)
    outputs = run(block, tokens)
    np.testing.assert_array_equal(outputs[..., :8], tokens)


def test_ghost_halves_are_scaled_copies():
    layer = GhostAttention(2)
    layer.build((None, 5, 8))
    scales = (layer.query_scale, layer.key_scale, layer.value_scale)
    for projected, scale in zip(layer.project(random(2, 5, 8)), scales, strict=True):
        first, second = np.split(numpy(projected), 2, axis=-1)
        np.testing.assert_allclose(second, first * numpy(scale), rtol=1e-6)
