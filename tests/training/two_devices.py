"""Trains on one CPU device and on two, and prints the outcome as JSON: needs a fresh process."""

import json
import sys
from pathlib import Path

from t2t_keras.training import make_config, train
from t2t_keras.training.recipes import SMALL_VARIANTS
from tests.training.conftest import TINY


def result(root: Path, devices: tuple[str, ...]) -> dict:
    config = make_config(
        dataset=str(root / "pictures"),
        model="tiny",
        batch_size=4,
        epochs=3,
        cooldown_epochs=0,
        lr=1e-2,
        drop_path_rate=0.0,
        devices=devices,
    )
    trained = train(config, root / f"run{len(devices)}")
    return {
        "history": trained.history,
        "replicas": trained.replicas,
        "test_loss": trained.scores.loss,
        "confusion": trained.scores.confusion.tolist(),
    }


if __name__ == "__main__":
    SMALL_VARIANTS["tiny"] = TINY
    # Two first: TensorFlow cannot split its CPU any more once it has started.
    runs = [result(Path(sys.argv[1]), devices) for devices in (("cpu:0", "cpu:1"), ("cpu:0",))]
    sys.stdout.write(json.dumps(runs[::-1]))
