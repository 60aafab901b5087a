import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from t2t_keras.data.ops import color as color_ops
from t2t_keras.data.ops.color import color_jitter, sample_jitter
from t2t_keras.data.ops.seeds import batch_seed
from tests.support.images import noise
from tests.support.pillow_ops import REFERENCE, SIZE, images, levels_off

COUNT = 3000
FACTORS = (0.0, 0.1, 0.19, 0.5, 0.937, 1.0, 1.27, 1.81, 1.9, 2.5)
AMOUNTS = {
    "Posterize": range(9),
    "Solarize": (0, 1, 26, 100, 128, 255, 256),
    "SolarizeAdd": (0, 1, 55, 110, 200),
    **dict.fromkeys(("Color", "Contrast", "Brightness", "Sharpness"), FACTORS),
}


@pytest.mark.parametrize("name", AMOUNTS)
def test_values_are_pillows(name):
    op = getattr(color_ops, name.replace("Add", "_add").lower())
    for amount in AMOUNTS[name]:
        for kind, image in images().items():
            off = levels_off(op, name, image, amount)
            assert off.max() <= 1 and (off > 0).mean() < 1e-3, (kind, amount)


@pytest.mark.parametrize("name", ["AutoContrast", "Equalize", "Invert"])
def test_levels_are_pillows(name):
    op = getattr(color_ops, name.replace("AutoC", "Auto_c").lower())
    for kind, image in {**images(), "sliver": noise(2, 5)}.items():
        assert levels_off(op, name, image).max() == 0, kind


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (2, 2), (2, 5), (3, 3)])
def test_the_border_keeps_its_pixels(shape):
    image = noise(*shape)
    sharp = color_ops.sharpness(tf.constant(image), 0.1).numpy()
    inner = np.s_[1:-1, 1:-1]
    assert (sharp[inner] != image[inner]).all()
    sharp[inner] = image[inner]
    np.testing.assert_array_equal(sharp, image)


@pytest.fixture(scope="module", params=[0.4, 0.1, 1.5])
def jitters(request):
    """The strength, and the orders and factors of many images."""
    data = tf.data.Dataset.range(COUNT)
    data = data.map(lambda index: sample_jitter(request.param, batch_seed(0, 0, index)))
    return request.param, *next(data.batch(COUNT).as_numpy_iterator())


def test_factors_are_uniform(jitters):
    strength, _, factors = jitters
    low, high = max(0, 1 - strength), 1 + strength
    for column in factors.T:
        wanted = low + (high - low) * np.linspace(0.1, 0.9, 9)
        quantiles = np.quantile(column, np.linspace(0.1, 0.9, 9))
        np.testing.assert_allclose(quantiles, wanted, atol=0.04 * (high - low))
        assert low <= column.min() and column.max() <= high
    assert np.abs(np.corrcoef(factors.T) - np.eye(3)).max() < 0.06


def test_every_order_is_as_likely(jitters):
    orders, counts = np.unique(jitters[1], axis=0, return_counts=True)
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
            wanted = REFERENCE[names[which]](wanted, float(factors[which]))
        off = np.abs(image.astype(int) - np.asarray(wanted))
        assert off.max() <= 3 and (off == 0).mean() > 0.99
    assert len({image.tobytes() for image in made}) == 20


def test_nothing_asked_changes_nothing():
    photo = images()["photo"]
    made = color_jitter(tf.constant(photo), 0.0, batch_seed(0, 0, 0))
    np.testing.assert_array_equal(made, photo)
