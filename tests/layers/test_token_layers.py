import keras
import numpy as np
import pytest

from t2t_keras.layers import TokenPerformer, TokenTransformer
from tests.support.check_layer import numpy, random


def test_performer_by_the_formula():
    layer = TokenPerformer(4)
    layer.build((None, 6, 12))
    projected = random(2, 6, 12)
    keys, queries, values = np.split(projected.astype(np.float64), 3, axis=-1)
    features = numpy(layer.random_features).astype(np.float64)

    def phi(x):
        half_square = 0.5 * (x**2).sum(axis=-1, keepdims=True)
        return np.exp(x @ features.T - half_square) / np.sqrt(len(features))

    weights = phi(queries) @ phi(keys).transpose(0, 2, 1)
    expected = weights @ values / (weights.sum(axis=-1, keepdims=True) + 1e-8)
    kept, attended = layer.attention(projected)
    np.testing.assert_array_equal(numpy(kept), projected[..., 8:])
    np.testing.assert_allclose(numpy(attended), expected, rtol=1e-4, atol=1e-6)


def test_transformer_scales_by_the_width_coming_in():
    layer = TokenTransformer(4)
    layer.build((None, 6, 100))
    projected = random(2, 6, 12)
    queries, keys, values = np.split(projected, 3, axis=-1)
    scores = np.exp(queries @ keys.transpose(0, 2, 1) * 0.1)
    expected = scores / scores.sum(axis=-1, keepdims=True) @ values
    np.testing.assert_allclose(numpy(layer.attention(projected)[1]), expected, rtol=1e-4, atol=1e-6)


def test_random_features_are_orthogonal_and_fixed():
    layer = TokenPerformer(16)
    layer.build((None, 6, 12))
    features = numpy(layer.random_features)
    np.testing.assert_allclose(features @ features.T, 8 * np.eye(8), atol=1e-4)
    assert not layer.random_features.trainable


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_performer_works_in_float32_under_any_policy(policy):
    layer = TokenPerformer(16, dtype=policy)
    layer.build((None, 6, 12))
    assert keras.backend.standardize_dtype(layer.random_features.dtype) == "float32"
    # Features of norm sqrt(m) give up to exp(m / 2): beyond float16's largest number at m = 32.
    wide = TokenPerformer(64, dtype=policy)
    wide.build((None, 6, 12))
    direction = 2 * numpy(wide.random_features)[0]
    projected = np.tile(np.concatenate([direction, direction, direction]), (1, 6, 1)) / 2
    _, attended = wide.attention(keras.ops.cast(projected, "float16"))
    np.testing.assert_allclose(numpy(attended)[0, 0], direction / 2, rtol=1e-2, atol=1e-2)


def test_performer_alone_drops_by_default():
    assert TokenPerformer(8).drop_rate == 0.1
    assert TokenTransformer(8).drop_rate == 0.0
