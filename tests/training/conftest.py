"""Small things to train: a model of a few thousand weights and three classes of noise."""

import pytest

from t2t_keras import Variant
from t2t_keras.training import make_config, train
from t2t_keras.training.recipes import SMALL_VARIANTS
from t2t_keras.weights.convert import write_model
from tests.pictures import make_folder
from tests.quick_graphs import pytest_runtest_setup, pytest_runtest_teardown

__all__ = ["pytest_runtest_setup", "pytest_runtest_teardown"]

# Convolutions in the stem: the performer's has dropout in it, always.
TINY = Variant(
    embed_dim=16,
    depth=1,
    num_heads=2,
    mlp_ratio=1.0,
    token_dim=8,
    token_type="convolution",
    image_size=16,
)
FIELDS = {
    "model": "tiny",
    "batch_size": 4,
    "epochs": 3,
    "warmup_epochs": 1,
    "cooldown_epochs": 0,
    "lr": 1e-2,
    "drop_path_rate": 0.0,
    "rand_augment": "none",  # its graph takes seconds to start, in every run
    "color_jitter": 0.0,
    "devices": ("cpu:0",),
}
COUNTS = {"train": {"ash": 5, "elm": 6, "oak": 7}, "val": {"ash": 2, "elm": 2, "oak": 3}}


def make_pictures(root):
    """18 pictures to train on and 7 to evaluate on, each a different noise."""
    for part, counts in COUNTS.items():
        make_folder(root / part, counts)
    return root


@pytest.fixture(scope="session")
def tiny_model_name():
    SMALL_VARIANTS["tiny"] = TINY
    yield "tiny"
    del SMALL_VARIANTS["tiny"]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    return make_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def tiny_config(pictures, tiny_model_name):
    """Makes the settings of a tiny run; every field can be given."""
    return lambda **given: make_config(**{"dataset": str(pictures), **FIELDS, **given})


@pytest.fixture(scope="session")
def finished(pictures, tiny_model_name, tmp_path_factory):
    """A run that is through: its result and its folder, with the model in `model.keras`."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    result = train(make_config(dataset=str(pictures), **FIELDS), folder)
    write_model(result.model, folder / "model.keras")
    return result, folder
