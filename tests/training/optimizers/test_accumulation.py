import functools

import keras
import numpy as np
import pytest

from t2t_keras.training import accumulating
from t2t_keras.training.optimizers.gradients import LossScale
from t2t_keras.training.optimizers.optimizer import SGD
from t2t_keras.training.schedule import PerEpoch
from t2t_keras.weights.mapping import official_entries
from tests.support.tiny import tiny_model
from tests.support.training.steps import IMAGES, TARGETS, compiled, small_model, values

WEIGHTS = np.linspace(0.5, 1.5, 8).astype(np.float32)


@functools.cache
def two_steps(parts, precision, jit_compile):
    """The log of two epochs of one step each and all that the optimizer and model then hold."""
    rates = PerEpoch((0.5, 0.25), steps_per_epoch=1)
    optimizer = SGD(rates, weight_decay=0.01, ema_decay=0.5, clip_grad=0.1)
    optimizer = LossScale(optimizer) if precision == "float16" else optimizer
    wrap = functools.partial(accumulating, parts=parts)
    model = compiled(optimizer, precision, wrap, jit_compile=jit_compile)
    arguments = {"sample_weight": WEIGHTS, "batch_size": 8, "shuffle": False, "verbose": 0}
    history = model.fit(IMAGES, TARGETS, epochs=2, **arguments).history
    return history, values([*model.variables, *optimizer.variables])


@pytest.mark.parametrize(
    ("precision", "jit_compile", "tolerance"),
    [("float32", False, 1e-6), ("float32", True, 1e-6), ("float16", False, 2e-4)],
)
def test_parts_step_as_the_whole_batch(precision, jit_compile, tolerance):
    whole, whole_values = two_steps(1, precision, False)
    parts, parts_values = two_steps(4, precision, jit_compile)
    assert whole["loss"][1] < whole["loss"][0]
    assert parts.keys() == whole.keys() == {"loss", "accuracy"}
    for name in whole:
        np.testing.assert_allclose(parts[name], whole[name], rtol=tolerance)
    for part, full in zip(parts_values, whole_values, strict=True):
        np.testing.assert_allclose(part, full, rtol=tolerance, atol=tolerance)


def test_it_is_the_same_model_to_everything_else(tmp_path):
    plain = tiny_model()
    model = accumulating(plain, 2)
    assert all(own is its for own, its in zip(model.weights, plain.weights, strict=True))
    assert (model.name, model.dtype_policy) == (plain.name, plain.dtype_policy)
    assert official_entries(model) == official_entries(plain)
    kept = plain.get_weights()
    model.save_weights(tmp_path / "parts.weights.h5")
    for weight in plain.trainable_variables:
        weight.assign(keras.ops.zeros(weight.shape))
    plain.load_weights(tmp_path / "parts.weights.h5")
    np.testing.assert_equal(model.get_weights(), kept)


def test_one_part_is_the_model_itself_and_a_batch_that_does_not_fall_into_them_is_refused():
    model = small_model()
    assert accumulating(model, 1) is model
    with pytest.raises(ValueError, match="Received: parts=0"):
        accumulating(model, 0)
    model = compiled(SGD(0.1), wrap=lambda model: accumulating(model, 3))
    with pytest.raises(ValueError, match=r"multiple of the 3 parts.*Received: batch_size=8"):
        model.train_on_batch(IMAGES, TARGETS)
