import json
import zipfile

import keras
import numpy as np
import pytest

from t2t_keras.errors import CheckpointError
from t2t_keras.weights.convert import write_model
from t2t_keras.weights.formats import ModelMetadata, read_metadata
from tests.support.tiny import tiny_model

CARD = ModelMetadata(("Ahorn", "été", "木"), crop_pct=1.0, statistics="cifar")


@pytest.fixture(scope="module")
def model():
    return tiny_model("convolution", classes=3)


@pytest.fixture(scope="module")
def written(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model.keras"
    write_model(model, path, CARD)
    return path


def test_a_card_comes_back_and_keras_loads_the_file_all_the_same(written, model):
    assert read_metadata(written) == CARD
    loaded = keras.saving.load_model(written)
    for ours, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with zipfile.ZipFile(written) as archive:
        assert "keras_version" in json.loads(archive.read("metadata.json"))
        assert archive.getinfo("model.weights.h5").compress_type == zipfile.ZIP_STORED


def test_a_model_without_a_card_says_nothing(model, tmp_path):
    write_model(model, tmp_path / "plain.keras")
    assert read_metadata(tmp_path / "plain.keras") is None


@pytest.mark.parametrize(
    "said",
    [
        {"class_names": "abc", "crop_pct": 1.0, "statistics": "cifar"},
        {"class_names": ["a", 3], "crop_pct": 1.0, "statistics": "cifar"},
        {"class_names": [], "crop_pct": 2.0, "statistics": "cifar"},
        {"class_names": [], "crop_pct": 1.0, "statistics": "mine"},
        {"class_names": []},
        7,
    ],
)
def test_a_card_that_makes_no_sense_is_refused(said, tmp_path):
    with zipfile.ZipFile(tmp_path / "odd.keras", "w") as archive:
        archive.writestr("metadata.json", json.dumps({"t2t_keras": said}))
    with pytest.raises(CheckpointError, match=r"odd\.keras: cannot be read, or its metadata"):
        read_metadata(tmp_path / "odd.keras")
