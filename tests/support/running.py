"""Commands as a user starts them, and the run that the tests of a finished one read."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "train_keras.py"
MODEL = "little"
SETTINGS = {
    "model": MODEL,
    "batch_size": 4,
    "epochs": 1,
    "cooldown_epochs": 0,
    "devices": "cpu:0",
    "validation_split": 0.2,
    "crop_pct": 0.8,
    "mean": "0.5,0.4,0.3",
    "std": "0.2,0.3,0.4",
    "image_size": "16x24",
    "rand_augment": "none",  # its graph takes seconds to start
    "color_jitter": 0.0,
}


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """A run's folder, its images, and the output of the command."""

    folder: Path
    images: Path
    stdout: str
    stderr: str


def line(*words: Any, **flags: Any) -> list[str]:
    """The words of a command line; None leaves a flag out."""
    given = {name: value for name, value in flags.items() if value is not None}
    return [*map(str, words), *(f"--{name}={value}" for name, value in given.items())]


def train_line(output_dir: Path | str, run_name: str | None = "new", **flags: Any) -> list[str]:
    """The command line of a run."""
    return line("train", output_dir=output_dir, run_name=run_name, **flags)


def run_python(
    *arguments: Any, cwd: Path = ROOT, check: bool = True, **environment: str
) -> subprocess.CompletedProcess:
    """Runs Python in a process of its own, which must succeed unless told otherwise."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2", **environment},
    )
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done
