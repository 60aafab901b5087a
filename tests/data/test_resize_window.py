import numpy as np
import pytest
import tensorflow as tf

from t2t_keras.data.ops.resize_window import is_quick, resize_window
from tests.support.images import noise, resized_by_pillow


@pytest.mark.parametrize("bicubic", [True, False])
@pytest.mark.parametrize("target", [(224, 224), (32, 48)])
def test_windows_of_any_size_are_pillow_s(target, bicubic):
    rng = np.random.default_rng(0)
    sizes = [(1, 1), (2, 3), (63, 65), (64, 128), (224, 224), (129, 511), (512, 513), (700, 70)]
    for number, size in enumerate([*sizes, *rng.integers(1, 200, (20, 2))]):
        window = noise(*size, seed=number)
        mine = resize_window(tf.constant(window), target, tf.constant(bicubic)).numpy()
        pillow = resized_by_pillow(window, target, bicubic)
        np.testing.assert_array_equal(mine, pillow, err_msg=str(size))


@pytest.mark.parametrize("bicubic", [True, False])
def test_black_and_white_stay_within_8_bits(bicubic):
    window = np.kron(noise(40, 50) // 128 * 255, np.ones((3, 3, 1), np.uint8))
    mine = resize_window(tf.constant(window), (200, 200), tf.constant(bicubic)).numpy()
    np.testing.assert_array_equal(mine, resized_by_pillow(window, (200, 200), bicubic))
    assert (mine.min(), mine.max()) == (0, 255)


@pytest.mark.parametrize(
    ("size", "target", "quick"),
    [
        ((1, 1), (224, 150), True),
        ((512, 256), (224, 150), True),
        ((513, 1), (224, 150), False),
        ((1, 257), (224, 150), False),
        ((1, 1), (224, 127), False),
    ],
)
def test_only_small_windows_are_quick(size, target, quick):
    assert bool(is_quick(tf.zeros((*size, 3), tf.uint8), target)) == quick
