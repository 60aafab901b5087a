"""Small things to train: a model of a few thousand weights and three classes of noise."""

import pytest

from t2t_keras import Variant
from t2t_keras.training import make_config
from t2t_keras.training.recipes import SMALL_VARIANTS
from tests.pictures import make_folder

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
COUNTS = {"train": {"ash": 5, "elm": 6, "oak": 7}, "val": {"ash": 2, "elm": 2, "oak": 3}}


@pytest.fixture
def pictures(tmp_path):
    """18 pictures to train on and 7 to evaluate on, each a different noise."""
    for part, counts in COUNTS.items():
        make_folder(tmp_path / "pictures" / part, counts)
    return tmp_path / "pictures"


@pytest.fixture
def tiny_config(pictures, monkeypatch):
    """Makes the settings of a tiny run; every field can be given."""
    monkeypatch.setitem(SMALL_VARIANTS, "tiny", TINY)
    fields = {
        "dataset": str(pictures),
        "model": "tiny",
        "batch_size": 4,
        "epochs": 2,
        "cooldown_epochs": 0,
        "lr": 1e-2,
        "drop_path_rate": 0.0,
        "devices": ("cpu:0",),
    }
    return lambda **given: make_config(**{**fields, **given})
