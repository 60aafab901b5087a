import numpy as np
import pytest
import tensorflow as tf
from PIL import ImageOps

from t2t_keras.data.ops import color as color_ops
from tests.support.images import noise
from tests.support.pillow_ops import enhanced, images, levels_off, solarized_add

FACTORS = (0.0, 0.1, 0.19, 0.5, 0.937, 1.0, 1.27, 1.81, 1.9, 2.5)
CASES = {
    "auto_contrast": [(color_ops.auto_contrast, ImageOps.autocontrast)],
    "equalize": [(color_ops.equalize, ImageOps.equalize)],
    "invert": [(color_ops.invert, ImageOps.invert)],
    "posterize": [
        (lambda x, bits=bits: color_ops.posterize(x, bits), lambda p, b=bits: _posterized(p, b))
        for bits in range(9)
    ],
    "solarize": [
        (
            lambda x, threshold=threshold: color_ops.solarize(x, threshold),
            lambda p, threshold=threshold: ImageOps.solarize(p, threshold),
        )
        for threshold in (0, 1, 26, 100, 128, 255, 256)
    ],
    "solarize_add": [
        (lambda x, added=added: color_ops.solarize_add(x, added), solarized_add(added))
        for added in (0, 1, 55, 110, 200)
    ],
    **{
        name: [
            (lambda x, f=factor, op=name: getattr(color_ops, op)(x, f), enhanced(title, factor))
            for factor in FACTORS
        ]
        for name, title in (
            ("color", "Color"),
            ("contrast", "Contrast"),
            ("brightness", "Brightness"),
            ("sharpness", "Sharpness"),
        )
    },
}


def _posterized(image, bits):
    return image.point([level & (256 - 2 ** (8 - bits)) for level in range(256)] * 3)


@pytest.mark.parametrize("name", CASES)
def test_values_are_pillows(name):
    for number, (mine, theirs) in enumerate(CASES[name]):
        for kind, image in images().items():
            off = levels_off(mine, theirs, image)
            assert off.max() <= 1 and (off > 0).mean() < 1e-3, (kind, number)


def test_the_table_of_posterize_is_pillows():
    for bits in (1, 4, 8):
        off = levels_off(
            lambda x, bits=bits: color_ops.posterize(x, bits),
            lambda p, bits=bits: ImageOps.posterize(p, bits),
            noise(48, 64),
        )
        assert off.max() == 0


def test_slivers():
    image = noise(2, 5)
    for name in ("auto_contrast", "equalize"):
        off = levels_off(*CASES[name][0], image)
        assert off.max() == 0, name


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (2, 2), (2, 5), (3, 3)])
def test_the_border_keeps_its_pixels(shape):
    image = noise(*shape)
    sharp = color_ops.sharpness(tf.constant(image), 0.1).numpy()
    inner = np.s_[1:-1, 1:-1]
    assert (sharp[inner] != image[inner]).all()
    sharp[inner] = image[inner]
    np.testing.assert_array_equal(sharp, image)
