"""Small runs: a model of a few thousand weights and three classes of noise."""

import pytest

from t2t_keras.training import make_config, train
from t2t_keras.weights.convert import write_model
from tests.support.training.tiny_run import FIELDS, make_images


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Waiting for the disk is not what is tested here."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    return make_images(tmp_path_factory.mktemp("images"))


@pytest.fixture
def tiny_config(images):
    """Makes the settings of a tiny run; every field can be given."""
    return lambda **given: make_config(**{"dataset": str(images), **FIELDS, **given})


@pytest.fixture(scope="session")
def finished(images, tmp_path_factory):
    """A run that is through: its result and its folder, with the model in `model.keras`."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    result = train(make_config(dataset=str(images), **FIELDS), folder)
    write_model(result.model, folder / "model.keras")
    return result, folder
