"""`train_keras.py` as a user starts it, and the run that the tests of a finished one look at."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

from t2t_keras.cli.train import TrainCommand

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "train_keras.py"
MODEL = "little"
SETTINGS = {
    "model": MODEL,
    "batch_size": 4,
    "epochs": 1,
    "cooldown_epochs": 0,
    "devices": ["cpu:0"],
    "validation_split": 0.2,
    "crop_pct": 0.8,
    "image_size": ["16", "24"],
    "rand_augment": "none",  # its graph takes seconds to start
    "color_jitter": 0.0,
}


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """A run's folder, its images, and what the command said."""

    folder: Path
    images: Path
    stdout: str
    stderr: str


def asked_for(output_dir, mode="train", run_name="new", **settings) -> TrainCommand:
    return TrainCommand(mode=mode, settings=settings, output_dir=str(output_dir), run_name=run_name)


def script(*arguments, start=(SCRIPT,)) -> subprocess.CompletedProcess:
    """The command with these flags, in a process of its own."""
    return subprocess.run(
        [sys.executable, *start, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
