import numpy as np
import pytest
from safetensors.numpy import save_file

from t2t_keras import CheckpointError
from t2t_keras.weights.convert import write_model
from t2t_keras.weights.formats import read_safetensors, write_safetensors
from t2t_keras.weights.mapping import official_state, resize_position_table
from tests.conftest import DATA
from tests.support.tiny import tiny_model


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


def _table(model):
    return model.get_layer("position_table").get_weights()[0]


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".safetensors"])
def test_a_grid_that_is_not_square_comes_back_as_it_was(suffix, tmp_path):
    """2x8 tokens are as many as 4x4."""
    path = tmp_path / f"wide{suffix}"
    wide = tiny_model(input_shape=(32, 128, 3))
    layer = wide.get_layer("position_table")
    layer.position_table.assign(np.random.default_rng(0).standard_normal((1, 17, 32)))
    write_model(wide, path)
    np.testing.assert_array_equal(
        _table(tiny_model(weights=path, input_shape=(32, 128, 3))), layer.get_weights()[0]
    )
    resized = resize_position_table(_table(wide), (4, 4), (2, 8))
    np.testing.assert_array_equal(_table(tiny_model(weights=path)), resized)
    resized = resize_position_table(_table(wide), (3, 5), (2, 8))
    np.testing.assert_array_equal(
        _table(tiny_model(weights=path, input_shape=(48, 80, 3))), resized
    )


@pytest.mark.parametrize("grid_size", [(4, 5), (1, 17), (99999, 99999)])
def test_a_grid_that_is_not_the_tables_is_refused(grid_size, tmp_path):
    path = tmp_path / "forged.safetensors"
    write_safetensors(official_state(tiny_model()), path, grid_size)
    with pytest.raises(CheckpointError, match="of another shape: pos_embed"):
        tiny_model(weights=path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"grid_size": "4x-4"}])
def test_a_file_that_says_no_grid_is_square(metadata, tmp_path):
    path = tmp_path / "theirs.safetensors"
    save_file(official_state(tiny_model()), path, metadata=metadata)
    assert read_safetensors(path)[1] is None
    np.testing.assert_array_equal(_table(tiny_model(weights=path)), _table(tiny_model()))
