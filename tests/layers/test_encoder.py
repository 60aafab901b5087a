import numpy as np
import pytest

from t2t_keras.layers import DeepNarrowEncoder
from tests.support.check_layer import numpy, random, run


def test_norms_have_their_statistics_in_float32():
    """The squares of these tokens are beyond float16."""
    tokens = random(2, 5, 32, scale=300.0)
    plain = DeepNarrowEncoder(2, 4, 3.0)
    plain.build(tokens.shape)
    expected = run(plain, tokens)
    half = DeepNarrowEncoder(2, 4, 3.0, dtype="mixed_float16")
    half.build(tokens.shape)
    half.set_weights(plain.get_weights())
    np.testing.assert_allclose(run(half, tokens), expected, atol=0.02)


def test_rates_reach_every_block():
    rates = {"drop_rate": 0.1, "attn_drop_rate": 0.2, "drop_path_rate": 0.4}
    encoder = DeepNarrowEncoder(3, 2, 2.0, **rates, seed=7)
    encoder.build((None, 5, 8))
    assert [block.drop_path1.rate for block in encoder.blocks] == [0, 0.2, 0.4]
    assert [block.drop_path2.rate for block in encoder.blocks] == [0, 0.2, 0.4]
    assert {block.drop.rate for block in encoder.blocks} == {0.1}
    assert {block.attn.attn_drop.rate for block in encoder.blocks} == {0.2}
    seeds = [
        dropout.seed
        for block in encoder.blocks
        for dropout in (block.drop, block.attn.attn_drop, block.drop_path1, block.drop_path2)
    ]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize("depth", [1, 5])
def test_rates_grow_evenly_from_zero(depth):
    blocks = DeepNarrowEncoder(depth, 2, 2.0, drop_path_rate=0.1).make_blocks()
    rates = [block.drop_path_rate for block in blocks]
    np.testing.assert_allclose(rates, np.linspace(0, 0.1, depth))


def test_same_seed_same_draws():
    tokens = random(4, 5, 8)
    outputs = []
    for _ in range(2):
        encoder = DeepNarrowEncoder(2, 2, 2.0, drop_rate=0.3, drop_path_rate=0.3, seed=7)
        encoder.build(tokens.shape)
        for number, weight in enumerate(encoder.trainable_weights):
            weight.assign(random(*weight.shape, seed=number))
        outputs.append(numpy(encoder(tokens, training=True)))
    np.testing.assert_array_equal(*outputs)
