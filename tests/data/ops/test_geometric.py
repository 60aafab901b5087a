import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from t2t_keras.data.ops import geometric as geometric_ops
from tests.support.images import noise
from tests.support.pillow_ops import FILL, SIZE, images, levels_off, rotated, transformed

HEIGHT, WIDTH = SIZE
# op -> its amounts, and Pillow's matrix for one
OPS = {
    "rotate": ((-30.0, -27.3, -1.0, 0.0, 13.7, 30.0, 45.0, 90.0, 180.0), None),
    "shear_x": ((-0.3, -0.27, 0.0, 0.11, 0.3), lambda v: (1, v, 0, 0, 1, 0)),
    "shear_y": ((-0.3, -0.27, 0.0, 0.11, 0.3), lambda v: (1, 0, 0, v, 1, 0)),
    "translate_x": ((-25.9, -7.5, 0.0, 3.0, 0.5, 28.8, 70.0), lambda v: (1, 0, v, 0, 1, 0)),
    "translate_y": ((-19.4, -7.5, 0.0, 3.0, 0.5, 21.6, 70.0), lambda v: (1, 0, 0, 0, 1, v)),
}


@pytest.mark.parametrize("bicubic", [False, True], ids=["bilinear", "bicubic"])
@pytest.mark.parametrize("name", OPS)
def test_values_are_pillows_border_included(name, bicubic):
    op, (amounts, matrix) = getattr(geometric_ops, name), OPS[name]
    for amount in amounts:
        theirs = transformed(matrix(amount), bicubic) if matrix else rotated(amount, bicubic)
        for kind, image in images().items():
            off = levels_off(lambda x, a=amount: op(x, a, bicubic, FILL), theirs, image)
            assert off.max() <= 1, (kind, amount)
            assert (off > 0).mean() < 0.05, (kind, amount)


@pytest.mark.parametrize("name", OPS)
def test_no_amount_changes_nothing(name):
    image = noise(*SIZE)
    for bicubic in (False, True):
        made = getattr(geometric_ops, name)(tf.constant(image), 0.0, bicubic, FILL)
        np.testing.assert_array_equal(made, image)


def test_what_comes_from_outside_is_the_fill_color():
    image = tf.zeros((*SIZE, 3), tf.uint8)
    moved = geometric_ops.translate_x(image, 10.0, True, FILL).numpy()
    assert (moved[:, -10:] == FILL).all() and not moved[:, :-10].any()
    assert (geometric_ops.translate_y(image, 500.0, False, FILL).numpy() == FILL).all()


def test_slivers():
    image = noise(1, 6)
    off = levels_off(
        lambda x: geometric_ops.rotate(x, 20.0, True, FILL), rotated(20.0, True), image
    )
    assert off.max() <= 1
    theirs = transformed((1, 0.3, 0, 0, 1, 0), False)
    off = levels_off(lambda x: geometric_ops.shear_x(x, 0.3, False, FILL), theirs, image)
    assert off.max() <= 1


def test_rotation_is_counter_clockwise():
    image = np.zeros((*SIZE, 3), np.uint8)
    image[HEIGHT // 2 - 2 : HEIGHT // 2 + 2, WIDTH - 20 : WIDTH - 10] = 255
    turned = geometric_ops.rotate(tf.constant(image), 30.0, False, (0, 0, 0)).numpy()
    rows = np.nonzero(turned.any((1, 2)))[0]
    assert rows.mean() < HEIGHT / 2 - 5
    assert np.asarray(Image.fromarray(image).rotate(30)).any()
