import operator

import keras
import numpy as np
import pytest

from t2t_keras.layers import SoftSplit, T2TBlock, TokenTransformer
from t2t_keras.layers.fused_projection import is_plain
from tests.support.check_layer import random, run


def _randomize(layer):
    rng = np.random.default_rng(1)
    for variable in layer.trainable_variables:
        gamma = variable.name == "gamma"
        variable.assign((1.0 if gamma else 0.3) * rng.standard_normal(variable.shape) + gamma)


def _unfolded(block, feature_map):
    """The paper's way: build all windows, then the token layer on them."""
    windows = SoftSplit(block.kernel_size, block.strides, block.padding)(feature_map)
    batch, height, width, channels = windows.shape
    tokens = keras.ops.reshape(windows, (batch, height * width, channels))
    return keras.ops.reshape(block.token_layer(tokens), (batch, height, width, block.token_dim))


@pytest.mark.parametrize("token_type", ["performer", "transformer"])
@pytest.mark.parametrize("split", [(7, 4, 2), (3, 2, 1), (3, 1, 1), (5, 3, 0)])
@pytest.mark.parametrize("scale", [1.0, 1e-3, 0.0])
def test_equals_unfold_then_token_layer(token_type, split, scale):
    block = T2TBlock(8, *split, token_type=token_type)
    feature_map = random(2, 37, 50, 3, scale=scale)
    block.build(feature_map.shape)
    _randomize(block)
    expected = run(lambda images: _unfolded(block, images), feature_map)
    np.testing.assert_allclose(
        run(block, feature_map), expected, rtol=0, atol=1e-5 * np.abs(expected).max()
    )


@pytest.mark.parametrize("part", ["token_layer", "token_layer.norm1", "token_layer.in_proj"])
def test_a_call_of_one_s_own_and_hooks_of_torch_are_met(part):
    block, feature_map = T2TBlock(8, 3, 2, 1), random(2, 10, 8, 4)
    block.build(feature_map.shape)
    fused, layer = block(feature_map), operator.attrgetter(part)(block)
    assert is_plain(block.token_layer, "float32")
    layer._backward_hooks = {0: print}
    assert not is_plain(block.token_layer, "float32")
    del layer._backward_hooks
    call = layer.call
    layer.call = lambda *args, **kwargs: 3.0 * call(*args, **kwargs)
    np.testing.assert_allclose(block(feature_map), _unfolded(block, feature_map), atol=1e-5)
    assert np.abs(block(feature_map) - fused).max() > 0.1


def _step_of_gradient_descent(model, block, images, targets):
    """What one step takes away from each of the block's weights: the gradient."""
    before = block.get_weights()
    model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=keras.backend.backend() == "jax")
    model.train_on_batch(images, targets)
    return [old - new for old, new in zip(before, block.get_weights(), strict=True)]


def test_gradients_equal_those_through_the_unfolded_windows():
    images, targets = random(2, 9, 12, 3), random(2, 5, 6, 4, seed=1)
    block = T2TBlock(4, 3, 2, 1, token_type="transformer")
    block.build(images.shape)
    _randomize(block)
    twin = TokenTransformer(4)
    twin.build((None, 30, 27))
    twin.set_weights(block.get_weights())

    inputs = keras.Input((9, 12, 3))
    windows = keras.layers.Reshape((30, 27))(SoftSplit(3, 2, 1)(inputs))
    unfolded = keras.Model(inputs, keras.layers.Reshape((5, 6, 4))(twin(windows)))
    fused = keras.Model(inputs, block(inputs))
    ours = _step_of_gradient_descent(fused, block, images, targets)
    theirs = _step_of_gradient_descent(unfolded, twin, images, targets)
    for gradient, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(
            gradient, expected, rtol=0, atol=2e-5 * np.abs(expected).max() + 1e-6
        )


@pytest.mark.parametrize("scale", [1.0, 10.0])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
@pytest.mark.parametrize("token_type", ["performer", "transformer"])
def test_stays_finite_in_half_precision(token_type, policy, scale):
    block = T2TBlock(16, 7, 4, 2, token_type=token_type, dtype=policy)
    feature_map = random(2, 32, 32, 3, scale=scale)
    block.build(feature_map.shape)
    for function in (block, lambda images: _unfolded(block, images)):
        assert np.isfinite(run(function, feature_map)).all()
