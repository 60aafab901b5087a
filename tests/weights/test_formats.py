import json
import os
import resource
import zipfile

import keras
import numpy as np
import pytest

from t2t_keras.errors import CheckpointError
from t2t_keras.weights.convert import write_model
from t2t_keras.weights.formats import ModelMetadata, read_metadata, read_safetensors, save_weights
from tests.support.processes import run_alone
from tests.support.tiny import tiny_model

METADATA = ModelMetadata(("Ahorn", "été", "木"), crop_pct=1.0, mean=(0.5, 0.4, 0.3))

GOOD = {"class_names": [], "crop_pct": 1.0, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


def small():
    layers = [keras.layers.Input((8,)), keras.layers.Dense(16), keras.layers.LayerNormalization()]
    return keras.Sequential(layers)


def test_keras_loads_what_was_saved_which_has_the_suffix_it_needs(tmp_path):
    saved, loaded = small(), small()
    assert not np.array_equal(saved.weights[0], loaded.weights[0])
    with pytest.raises(ValueError, match="`path` must be a file that ends.*Received: path=.*m.h5"):
        save_weights(saved, tmp_path / "m.h5")
    save_weights(saved, tmp_path / "m.weights.h5")
    loaded.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_equal(loaded.get_weights(), saved.get_weights())
    assert os.listdir(tmp_path) == ["m.weights.h5"]


def save_on_a_full_disk(path):
    model = keras.Sequential([keras.layers.Input((32,)), keras.layers.Dense(2048)])
    save_weights(model, path)
    old = path.read_bytes()
    for part in range(20):
        limit = len(old) * part // 20
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        with pytest.raises(OSError):
            save_weights(model, path)
        assert path.read_bytes() == old and os.listdir(path.parent) == [path.name]


def test_a_full_disk_is_an_error_that_keeps_the_old_file_and_the_process(tmp_path):
    # With the HDF5 library writing the file, this ends in a segmentation fault.
    run_alone(save_on_a_full_disk, tmp_path / "m.weights.h5")


def test_metadata_comes_back_and_keras_loads_the_file_all_the_same(tmp_path):
    model, path = tiny_model("convolution", classes=3), tmp_path / "model.keras"
    write_model(model, path)
    assert read_metadata(path) is None
    write_model(model, path, METADATA)
    assert read_metadata(path) == METADATA
    np.testing.assert_equal(keras.saving.load_model(path).get_weights(), model.get_weights())
    with zipfile.ZipFile(path) as archive:
        assert "keras_version" in json.loads(archive.read("metadata.json"))
        assert archive.getinfo("model.weights.h5").compress_type == zipfile.ZIP_STORED


@pytest.mark.parametrize(
    "metadata",
    [
        {**GOOD, "class_names": "abc"},
        {**GOOD, "class_names": ["a", 3]},
        {**GOOD, "crop_pct": 2.0},
        {**GOOD, "mean": [0.5, 0.5]},
        {**GOOD, "std": [0.5, 0.5, 0.0]},
        {**GOOD, "std": "odd"},
        {**GOOD, "crop_pct": 10**400},
        {"class_names": []},
        7,
    ],
)
def test_metadata_that_makes_no_sense_is_refused(metadata, tmp_path):
    with zipfile.ZipFile(tmp_path / "odd.keras", "w") as archive:
        archive.writestr("t2t_keras.json", json.dumps(metadata))
    with pytest.raises(CheckpointError, match=r"odd\.keras: cannot be read, or its metadata"):
        read_metadata(tmp_path / "odd.keras")


def test_unreadable_safetensors_is_named(tmp_path):
    for path in (tmp_path, tmp_path / "gone.safetensors"):
        with pytest.raises(CheckpointError, match=f"^{path}: it (is a directory|cannot be read)"):
            read_safetensors(path)
