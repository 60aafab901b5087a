"""The SavedModel of a run, which TensorFlow writes, whatever backend the run had."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import keras

from t2t_keras.commands.outcome import say
from t2t_keras.errors import ExportError
from t2t_keras.export import Preprocessing, export_saved_model


def export_run(
    model: keras.Model,
    model_path: Path,
    class_names: Sequence[str],
    version: int | None,
    preprocessing: Preprocessing,
) -> Path:
    """Writes a version beside a run's model, as `export_saved_model` does.

    Args:
        model: The run's model.
        model_path: The same model as a `.keras` file.
        class_names: Its classes' names.
        version: At least 1; None is the next free one.
        preprocessing: What the model was trained for.

    Returns:
        The folder of the version.

    Raises:
        ExportError: The version exists already, or cannot be written.
    """
    folder = model_path.parent
    rest = (list(class_names), os.fspath(folder), version)
    if keras.backend.backend() == "tensorflow":
        return export_saved_model(model, *rest, preprocessing)
    surroundings = {
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    asked = [os.fspath(model_path), dataclasses.asdict(preprocessing), *rest]
    done = subprocess.run(
        [sys.executable, "-m", "t2t_keras.commands.export_run"],
        env={**os.environ, **surroundings},
        input=json.dumps(asked),  # not an argument: a thousand classes may be too long for one
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ExportError(f"{model_path}: a SavedModel cannot be made of it.\n{done.stderr}")
    return Path(done.stdout.splitlines()[-1])


def export_given() -> None:
    """Exports what `export_run` asks for on standard input, and says where the version is."""
    path, given, *rest = json.load(sys.stdin)
    say(str(export_saved_model(keras.saving.load_model(path), *rest, Preprocessing(**given))))


if __name__ == "__main__":
    export_given()
