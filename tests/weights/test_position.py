import numpy as np
import pytest

from t2t_keras.weights.position import resize_position_table
from tests.conftest import DATA


@pytest.mark.parametrize(
    ("name", "size"),
    [("grid_7", (7, 7)), ("grid_12", (12, 12)), ("grid_24", (24, 24)), ("grid_10x20", (10, 20))],
)
def test_equals_the_authors_resize(name, size):
    with np.load(DATA / "pos_embed_resize.npz") as arrays:
        old, expected = arrays["old"], arrays[name]
    resized = resize_position_table(old, size)
    np.testing.assert_array_equal(resized[:, 0], old[:, 0])
    np.testing.assert_allclose(resized, expected, rtol=0, atol=1e-5 * old.std())


def test_same_grid_is_untouched():
    table = np.random.default_rng(0).standard_normal((1, 17, 4)).astype("float32")
    assert resize_position_table(table, (4, 4)) is table
    assert resize_position_table(table, (4, 4), (2, 8)).shape == (1, 17, 4)


def test_other_than_square_must_be_said():
    with pytest.raises(ValueError, match="`old_grid_size` must be given"):
        resize_position_table(np.zeros((1, 16, 4), "float32"), (2, 2))
