"""Trains on one CPU device and on two, and prints what came of it as JSON: needs a fresh process."""

import json
import sys
from pathlib import Path

from t2t_keras.training import make_config, train
from t2t_keras.training.recipes import SMALL_VARIANTS
from tests.training.conftest import FIELDS, TINY


def result(pictures: str, folder: Path, devices: tuple[str, ...]) -> dict:
    config = make_config(**{**FIELDS, "dataset": pictures, "devices": devices})
    trained = train(config, folder)
    return {
        "history": trained.history,
        "replicas": trained.replicas,
        "test_loss": trained.scores.loss,
        "confusion": trained.scores.confusion.tolist(),
    }


if __name__ == "__main__":
    SMALL_VARIANTS["tiny"] = TINY
    pictures, root = sys.argv[1], Path(sys.argv[2])
    # Two first: TensorFlow cannot split its CPU any more once it has started.
    two = result(pictures, root / "two", ("cpu:0", "cpu:1"))
    one = result(pictures, root / "one", ("cpu:0",))
    sys.stdout.write(json.dumps([one, two]))
