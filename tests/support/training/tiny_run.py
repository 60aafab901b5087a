"""Settings and images of small runs."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from t2t_keras import Variant
from t2t_keras.training.checkpoint.store import read_checkpoint
from tests.support.images import make_folder

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
    "model": TINY,
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


def make_images(root):
    """18 images to train on and 7 to evaluate on, each a different noise."""
    for part, counts in COUNTS.items():
        make_folder(root / part, counts)
    return root


def contents(folder: Path) -> dict[str, object]:
    """Everything a run ended with, except times and its id."""
    last = read_checkpoint(max((folder / "checkpoints").glob("step-*")))
    return {
        **{group: bits(getattr(last, group)) for group in ("state", "best")},
        "step": last.step,
        "progress": {**last.progress, "seconds": None, "run_id": None},
        "log": (folder / "log.csv").read_bytes(),
    }


def bits(arrays: Mapping[str, np.ndarray]) -> dict[str, tuple]:
    """All that tells arrays apart: -0.0 from 0.0, and one NaN from another."""
    return {key: (array.dtype, array.shape, array.tobytes()) for key, array in arrays.items()}
