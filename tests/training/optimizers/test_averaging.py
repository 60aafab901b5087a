import keras
import numpy as np
import pytest

from t2t_keras.training import ema_weights
from t2t_keras.training.optimizers.gradients import LossScale
from t2t_keras.training.optimizers.optimizer import SGD, AdamW
from tests.support.training.steps import IMAGES, TARGETS, compiled, small_model, values


def averages_of(model):
    with ema_weights(model):
        return model.get_weights()


def overflow(model):
    """A step whose gradients are not finite."""
    model.train_on_batch(IMAGES * np.inf, TARGETS)


@pytest.fixture(scope="module")
def trained():
    """A model after two steps in float16 with a skipped one between, and its weights on the way."""
    model = compiled(LossScale(SGD(0.1, ema_decay=0.75)), "float16")
    way = [model.get_weights()]
    model.train_on_batch(IMAGES, TARGETS)
    way.append(model.get_weights())
    overflow(model)
    np.testing.assert_array_equal(model.get_weights()[0], way[1][0])
    model.fit(IMAGES, TARGETS, batch_size=8, verbose=0)
    way.append(model.get_weights())
    return model, way


def test_it_starts_from_the_initial_weights_and_moves_once_a_step(trained):
    model, way = trained
    for average, first, second, third in zip(averages_of(model), *way, strict=True):
        expected = 0.75 * (0.75 * first + 0.25 * second) + 0.25 * third
        np.testing.assert_allclose(average, expected, atol=1e-7)
        assert np.abs(average - third).max() > 1e-4
    assert int(model.optimizer.iterations) == 2


def test_fit_leaves_the_weights_and_they_come_back_bit_for_bit(trained):
    model, way = trained
    own = model.predict(IMAGES, verbose=0)
    with pytest.raises(KeyboardInterrupt), ema_weights(model):
        assert np.abs(model.predict(IMAGES, verbose=0) - own).max() > 1e-3
        raise KeyboardInterrupt
    np.testing.assert_array_equal(model.predict(IMAGES, verbose=0), own)
    np.testing.assert_equal(model.get_weights(), way[2])


def test_all_of_it_is_in_the_optimizer_s_variables(trained):
    model, _ = trained
    again = compiled(LossScale(SGD(0.1, ema_decay=0.75)), "float16")
    again.set_weights(model.get_weights())
    saved = values(model.optimizer.variables)
    for variable, value in zip(again.optimizer.variables, saved, strict=True):
        variable.assign(value)
    for one in (model, again):
        one.train_on_batch(IMAGES, TARGETS)
    pairs = zip(values(model.optimizer.variables), values(again.optimizer.variables), strict=True)
    assert all((first == second).all() for first, second in pairs)
    assert (averages_of(model)[0] == averages_of(again)[0]).all()


def test_weights_that_rest_have_themselves_as_average():
    """0.99996 and 1 - 0.99996 in float32 do not add up to 1."""
    weights = [keras.Variable(np.linspace(-2.0, 3.0, 50))]
    optimizer = SGD(0.1, ema_decay=0.99996)
    optimizer.build(weights)
    for _ in range(20):
        optimizer.apply([keras.ops.zeros(50)], weights)
    np.testing.assert_array_equal(*values([optimizer.averages[0], weights[0]]))


def test_without_an_average_there_is_nothing_to_lend():
    optimizer = AdamW(0.1)
    model = compiled(optimizer)
    assert len(optimizer.variables) == 2 + 2 * len(small_model().weights)
    with pytest.raises(ValueError, match="`ema_decay` above 0. Received: optimizer="):
        with ema_weights(model):
            pass


def test_a_saved_optimizer_has_its_settings_again():
    groups = {"rate_factors": {"head/kernel": 0.1}, "undecayed": ("head/bias",)}
    given = AdamW(0.1, ema_decay=0.5, clip_grad=2.0, weight_decay=0.25, **groups)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(LossScale(given)))
    inner = again.inner_optimizer
    assert (inner.ema_decay, inner.clip_grad, inner.weight_decay) == (0.5, 2.0, 0.25)
    assert {name: getattr(inner, name) for name in groups} == groups
    assert given.sums_gradients is inner.sums_gradients is False
