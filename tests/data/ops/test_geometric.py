import functools
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from t2t_keras.data.ops import geometric as geometric_ops
from tests.support.images import noise
from tests.support.pillow_ops import FILL, SIZE, images, levels_off

HEIGHT, WIDTH = SIZE
AMOUNTS = {
    "Rotate": (-30.0, -27.3, -1.0, 13.7, 30.0, 45.0, 90.0, 180.0),
    "ShearX": (-0.3, -0.27, 0.11, 0.3),
    "ShearY": (-0.3, -0.27, 0.11, 0.3),
    "TranslateX": (-25.9, -7.5, 3.0, 0.5, 28.8, 70.0),
    "TranslateY": (-19.4, -7.5, 3.0, 0.5, 21.6, 70.0),
}
OPS = {
    name: functools.partial(
        getattr(geometric_ops, re.sub("([XY])", r"_\1", name).lower()), fill=FILL
    )
    for name in AMOUNTS
}


@pytest.mark.parametrize("bicubic", [False, True], ids=["bilinear", "bicubic"])
@pytest.mark.parametrize("name", OPS)
def test_values_are_pillows_border_included(name, bicubic):
    for kind, image in images().items():
        for amount in AMOUNTS[name]:
            off = levels_off(OPS[name], name, image, amount, bicubic)
            assert off.max() <= 1, (kind, amount)
            assert (off > 0).mean() < 0.05, (kind, amount)
        np.testing.assert_array_equal(OPS[name](tf.constant(image), 0.0, bicubic), image)


def test_what_comes_from_outside_is_the_fill_color():
    image = tf.zeros((*SIZE, 3), tf.uint8)
    moved = geometric_ops.translate_x(image, 10.0, True, FILL).numpy()
    assert (moved[:, -10:] == FILL).all() and not moved[:, :-10].any()
    assert (geometric_ops.translate_y(image, 500.0, False, FILL).numpy() == FILL).all()


def test_slivers():
    for name, *amounts in (("Rotate", 20.0, True), ("ShearX", 0.3, False)):
        assert levels_off(OPS[name], name, noise(1, 6), *amounts).max() <= 1, name


def test_rotation_is_counter_clockwise():
    image = np.zeros((*SIZE, 3), np.uint8)
    image[HEIGHT // 2 - 2 : HEIGHT // 2 + 2, WIDTH - 20 : WIDTH - 10] = 255
    turned = geometric_ops.rotate(tf.constant(image), 30.0, False, (0, 0, 0)).numpy()
    rows = np.nonzero(turned.any((1, 2)))[0]
    assert rows.mean() < HEIGHT / 2 - 5
    assert np.asarray(Image.fromarray(image).rotate(30)).any()
