import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from t2t_keras.data.ops.color import color_jitter, sample_jitter
from t2t_keras.data.ops.seeds import batch_seed
from tests.support.pillow_ops import SIZE, enhanced, images

COUNT = 3000
STRENGTHS = (0.4, 0.1, 1.5)


@pytest.fixture(scope="module")
def drawn():
    data = tf.data.Dataset.range(COUNT)
    data = data.map(lambda index: sample_jitter(STRENGTHS, batch_seed(0, 0, index)))
    return next(data.batch(COUNT).as_numpy_iterator())


def test_factors_are_uniform(drawn):
    _, factors = drawn
    for column, (low, high) in zip(factors.T, ((0.6, 1.4), (0.9, 1.1), (0.0, 2.5)), strict=True):
        wanted = low + (high - low) * np.linspace(0.1, 0.9, 9)
        quantiles = np.quantile(column, np.linspace(0.1, 0.9, 9))
        np.testing.assert_allclose(quantiles, wanted, atol=0.04 * (high - low))
        assert low <= column.min() and column.max() <= high
    assert np.abs(np.corrcoef(factors.T) - np.eye(3)).max() < 0.06


def test_every_order_is_as_likely(drawn):
    orders, counts = np.unique(drawn[0], axis=0, return_counts=True)
    assert {tuple(sorted(order)) for order in orders} == {(0, 1, 2)}
    np.testing.assert_allclose(counts / COUNT, 1 / 6, atol=0.03)


def test_images_are_pillows():
    photo, names = images()["photo"], ("Brightness", "Contrast", "Color")
    data = tf.data.Dataset.range(20)
    data = data.map(lambda index: color_jitter(photo, 0.4, batch_seed(1, 0, index)), 2)
    assert data.element_spec.shape == (*SIZE, 3)
    made = list(data.as_numpy_iterator())
    for index, image in enumerate(made):
        order, factors = (part.numpy() for part in sample_jitter(0.4, batch_seed(1, 0, index)))
        wanted = Image.fromarray(photo)
        for which in order:
            wanted = enhanced(names[which], float(factors[which]))(wanted)
        off = np.abs(image.astype(int) - np.asarray(wanted))
        assert off.max() <= 3 and (off <= 1).mean() > 0.99
        assert (off == 0).mean() > 0.99
    assert len({image.tobytes() for image in made}) == 20


def test_nothing_asked_changes_nothing():
    photo = images()["photo"]
    made = color_jitter(tf.constant(photo), 0.0, batch_seed(0, 0, 0))
    np.testing.assert_array_equal(made, photo)


@pytest.mark.parametrize("strength", [-0.1, (0.4, 0.4), (0.4, 0.4, 0.4, 0.1), (0.4, -1.0, 0.4)])
def test_other_strengths_are_refused(strength):
    with pytest.raises(ValueError, match="`strength` must be one number.*Received: strength="):
        color_jitter(tf.zeros((4, 4, 3), tf.uint8), strength, batch_seed(0, 0, 0))
