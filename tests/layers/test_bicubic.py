from pathlib import Path

import numpy as np
import pytest

from t2t_keras.layers.embeddings import interpolation_matrix, resize_grid
from tests.support.check_layer import numpy

GOLDEN = Path(__file__).parents[1] / "goldens" / "pos_embed_resize.npz"


@pytest.mark.parametrize(
    ("name", "size"),
    [("grid_7", (7, 7)), ("grid_12", (12, 12)), ("grid_24", (24, 24)), ("grid_10x20", (10, 20))],
)
def test_equals_torch(name, size):
    with np.load(GOLDEN) as arrays:
        old, expected = arrays["old"], arrays[name]
    resized = numpy(resize_grid(old[0, 1:].reshape(14, 14, -1), *size))
    np.testing.assert_allclose(
        resized.reshape(expected[0, 1:].shape), expected[0, 1:], rtol=0, atol=1e-5 * old.std()
    )


def test_rows_sum_to_one_and_same_size_is_identity():
    np.testing.assert_allclose(numpy(interpolation_matrix(9, 4)).sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(numpy(interpolation_matrix(4, 4)), np.eye(4), atol=1e-6)
