import keras
import numpy as np
import pytest

from t2t_keras.layers import ClassToken, PositionTable
from t2t_keras.layers.embeddings import interpolation_matrix, resize_grid, sinusoid_table
from tests.conftest import DATA
from tests.support.check_layer import numpy, random


def test_class_token_stands_first():
    layer, feature_map = ClassToken(), random(2, 3, 5, 8)
    tokens = numpy(layer(feature_map))
    np.testing.assert_array_equal(tokens[0, 0], numpy(layer.class_token)[0, 0])
    np.testing.assert_array_equal(tokens[:, 1:], feature_map.reshape(2, 15, 8))


def test_sinusoids_by_hand():
    table = sinusoid_table(3, 4)[0]
    np.testing.assert_allclose(table[0], [0, 1, 0, 1])
    by_hand = [np.sin(2), np.cos(2), np.sin(0.02), np.cos(0.02)]
    np.testing.assert_allclose(table[2], by_hand, rtol=1e-6)


def test_table_does_not_train():
    layer = PositionTable((3, 5))
    layer.build((None, 16, 8), (None, 3, 5, 8))
    assert layer.trainable_variables == []


def test_a_saved_table_of_another_grid_is_refused(tmp_path):
    """Both have 16 places, so the shapes agree and Keras would load it."""

    def model(grid_size):
        inputs = [keras.Input((17, 8)), keras.Input((*grid_size, 8))]
        return keras.Model(inputs, PositionTable(grid_size, name="table")(*inputs))

    saved = model((2, 8))
    table = random(1, 17, 8)
    saved.get_layer("table").position_table.assign(table)
    saved.save_weights(tmp_path / "table.weights.h5")
    again = model((2, 8))
    again.load_weights(tmp_path / "table.weights.h5")
    np.testing.assert_array_equal(again.get_layer("table").position_table, table)
    with pytest.raises(ValueError, match=r"grid of \(4, 4\) tokens; the saved one is for \(2, 8\)"):
        model((4, 4)).load_weights(tmp_path / "table.weights.h5")


@pytest.mark.parametrize(
    ("name", "size"),
    [("grid_7", (7, 7)), ("grid_12", (12, 12)), ("grid_24", (24, 24)), ("grid_10x20", (10, 20))],
)
def test_a_resized_table_equals_torch_s(name, size):
    with np.load(DATA / "pos_embed_resize.npz") as arrays:
        old, expected = arrays["old"], arrays[name]
    resized = numpy(resize_grid(old[0, 1:].reshape(14, 14, -1), *size))
    expected = expected[0, 1:].reshape(resized.shape)
    np.testing.assert_allclose(resized, expected, rtol=0, atol=1e-5 * old.std())


def test_rows_sum_to_one_and_same_size_is_identity():
    np.testing.assert_allclose(numpy(interpolation_matrix(9, 4)).sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(numpy(interpolation_matrix(4, 4)), np.eye(4), atol=1e-6)
