import numpy as np
import pytest

from t2t_keras.layers import SoftSplit
from tests.support.check_layer import numpy, random


def _unfold_by_loops(feature_map, kernel_size, strides, padding):
    pad = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    padded = np.pad(feature_map, pad)
    height = (padded.shape[1] - kernel_size) // strides + 1
    width = (padded.shape[2] - kernel_size) // strides + 1
    windows = np.empty((len(padded), height, width, padded.shape[-1] * kernel_size**2))
    for y, x in np.ndindex(height, width):
        top, left = y * strides, x * strides
        window = padded[:, top : top + kernel_size, left : left + kernel_size]
        windows[:, y, x] = window.transpose(0, 3, 1, 2).reshape(len(padded), -1)
    return windows


@pytest.mark.parametrize(("kernel_size", "strides", "padding"), [(7, 4, 2), (3, 2, 1), (2, 3, 0)])
def test_windows_are_those_of_a_plain_loop(kernel_size, strides, padding):
    feature_map = random(2, 17, 12, 3)
    windows = SoftSplit(kernel_size, strides, padding)(feature_map)
    expected = _unfold_by_loops(feature_map, kernel_size, strides, padding)
    np.testing.assert_array_equal(numpy(windows), expected)


@pytest.mark.parametrize(
    ("index", "split", "source", "side"),
    [
        (0, (7, 4, 2), "images", 64),
        (1, (3, 2, 1), "performer/tokens_to_token.attention1", 16),
        (2, (3, 2, 1), "performer/tokens_to_token.attention2", 8),
    ],
)
def test_each_split_is_the_official_unfold(index, split, source, side, tiny_expected):
    feature_map = tiny_expected[source][:1].reshape(1, side, side, -1)
    windows = numpy(SoftSplit(*split)(feature_map))
    expected = tiny_expected[f"performer/tokens_to_token.soft_split{index}"]
    np.testing.assert_array_equal(windows.reshape(expected.shape), expected)
