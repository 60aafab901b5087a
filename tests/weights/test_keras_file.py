"""`.weights.h5` and `.keras` files that are not what they say."""

import shutil
import zipfile

import h5py
import keras
import numpy as np
import pytest

from t2t_keras import CheckpointError
from t2t_keras.weights import load
from t2t_keras.weights.convert import write_model
from tests.support.tiny import tiny_model

TABLE, HEAD = "layers/position_table/vars/0", "layers/dense/vars/0"
GRID = "layers/position_table/vars/grid_size"


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def written(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "tiny.weights.h5"
    write_model(model, path)
    return path


@pytest.fixture
def no_twin(monkeypatch):
    """Fails where a model is built from what a file says."""

    def build(*_):
        pytest.fail("a model was built")

    monkeypatch.setattr(load, "classifier", build)


def _changed(written, tmp_path, name, **dataset):
    """A copy of the written file with one array in place of another."""
    path = tmp_path / "changed.weights.h5"
    shutil.copy(written, path)
    with h5py.File(path, "r+") as file:
        if name in file:
            del file[name]
        file.create_dataset(name, **dataset)
    return path


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        (HEAD, {"shape": (0, 10**9), "dtype": "f4"}),
        (HEAD, {"shape": (10**9, 0), "dtype": "f4"}),
        (HEAD, {"shape": (31, 10), "dtype": "f4"}),
        (HEAD, {"shape": (320,), "dtype": "f4"}),
        (HEAD, {"shape": (), "dtype": "f4"}),
        (HEAD, {"shape": (32, 2000), "dtype": "i1"}),
        (HEAD, {"shape": (32, 2000), "dtype": "?"}),
        (HEAD, {"dtype": h5py.Empty("f4").dtype, "data": h5py.Empty("f4")}),
        (HEAD, {"shape": (32, 10), "dtype": h5py.string_dtype()}),
        (TABLE, {"shape": (1, 10**9 + 1, 0), "dtype": "f4"}),
        (TABLE, {"shape": (1, 0, 32), "dtype": "f4"}),
        (TABLE, {"shape": (1, 1, 32), "dtype": "f4"}),
        (TABLE, {"shape": (2, 17, 32), "dtype": "f4"}),
        (TABLE, {"shape": (1, 18, 32), "dtype": "f4"}),
        (TABLE, {"shape": (1, 1025, 32), "dtype": "u1"}),
        (GRID, {"data": np.array([10**9, 0])}),
        (GRID, {"data": np.array([-4, -4])}),
        (GRID, {"data": np.array([5, 5])}),
    ],
    ids=str,
)
def test_shapes_are_checked_before_a_model_is_built(
    name, dataset, model, written, tmp_path, no_twin
):
    path = _changed(written, tmp_path, name, **dataset)
    with pytest.raises(CheckpointError, match=f"^{path}: (has .* expected|its position table)"):
        tiny_model(weights=path)


def test_arrays_larger_than_their_file_are_refused(tmp_path, no_twin):
    path = tmp_path / "bomb.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset(TABLE, (1, 1 << 20, 1 << 10), chunks=(1, 1, 1 << 10))
    with pytest.raises(CheckpointError, match="declares arrays larger than the file"):
        tiny_model(weights=path)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_weights_are_refused_whatever_they_unpack_to(method, tmp_path):
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("model.weights.h5", bytes(1 << 20))
    packed = bytearray(path.read_bytes())
    packed[60:80] = bytes(20)  # what is packed is damaged as well
    path.write_bytes(packed)
    with pytest.raises(CheckpointError, match="its weights are compressed"):
        tiny_model(weights=path)


def test_a_zip_that_promises_more_than_it_holds_is_damaged(written, tmp_path):
    path = tmp_path / "cut.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", written.read_bytes())
    contents = bytearray(path.read_bytes())
    at = contents.rindex(b"PK\x01\x02") + 20
    contents[at : at + 8] = 2 * (10**9).to_bytes(4, "little")  # both sizes in the directory
    path.write_bytes(contents)
    with pytest.raises(CheckpointError, match=f"^{path}: cannot be loaded: it is damaged"):
        tiny_model(weights=path)


def test_too_little_memory_is_an_error_of_the_file(written, monkeypatch):
    def build(*_):
        raise MemoryError

    monkeypatch.setattr(load, "classifier", build)
    with pytest.raises(CheckpointError, match=f"^{written}: cannot be loaded"):
        tiny_model(weights=written)


def test_weights_saved_in_bfloat16_load(tmp_path):
    path = tmp_path / "half.weights.h5"
    keras.config.set_dtype_policy("bfloat16")
    try:
        half = tiny_model()
        half.save_weights(path)
    finally:
        keras.config.set_dtype_policy("float32")
    expected = keras.ops.convert_to_numpy(half.get_layer("head").kernel).astype("float32")
    loaded = tiny_model(weights=path).get_layer("head").get_weights()[0]
    np.testing.assert_array_equal(loaded, expected)
