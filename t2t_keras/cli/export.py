"""The command `export`: a model as a SavedModel, ONNX, LiteRT or OpenVINO file."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import keras
from absl import flags

from t2t_keras.cli.flags import FORMATS, MODEL, WEIGHTS, pick
from t2t_keras.cli.main import echo
from t2t_keras.cli.models import OpenedModel, check_names, open_model
from t2t_keras.errors import ExportError, check
from t2t_keras.export import export_model, export_saved_model
from t2t_keras.weights.formats import ModelMetadata, read_metadata

SAVED_MODEL = FORMATS[0]
OUTPUT_DIR = "saved_models"


def _check(values: flags.FlagValues) -> None:
    numbers = values.mean or values.std
    expected = "left out with `mean` and `std`, which say the same in numbers"
    check(not (values.statistics and numbers), "statistics", values.statistics, expected)
    saved_model, quantize = values.format == SAVED_MODEL, values.quantize
    expected = "left out with `format=savedmodel`, which TensorFlow Serving runs in float32"
    check(not (saved_model and quantize), "quantize", quantize, expected)
    for name in ("top", "warm_up_batches"):
        value = values[name].value
        expected = "left out except with `format=savedmodel`"
        check(saved_model or value is None, name, value, expected)


def _write(values: flags.FlagValues, opened: OpenedModel) -> Path:
    colors = {"mean": values.mean, "std": values.std}
    preprocessing = dataclasses.replace(
        opened.preprocessing,
        image_size=values.image_size,
        **{name: color for name, color in colors.items() if color is not None},
    )
    folder = Path(values.output or opened.folder or Path(OUTPUT_DIR) / opened.model.name)
    model = (opened.model, opened.class_names)
    if values.format == SAVED_MODEL:
        batches = {"warm_up_batches": values.warm_up_batches} if values.warm_up_batches else {}
        return export_saved_model(
            *model, folder, values.version, preprocessing, top=values.top, **batches
        )
    # Beside the versions for TensorFlow Serving, which looks at numbers alone.
    folder /= "-".join(filter(None, (values.format, values.quantize)))
    return export_model(
        *model, folder, values.format, values.quantize, values.version, preprocessing
    )


def export_run(model: keras.Model, path: Path, version: int | None) -> Path:
    """Writes a run's model, and its `.keras` file at `path`, as a SavedModel beside that file.

    On other backends a process with TensorFlow does it, from the file.
    """
    if keras.backend.backend() == "tensorflow":
        metadata = read_metadata(path) or ModelMetadata(())
        preprocessing = OpenedModel(model, metadata).preprocessing
        return export_saved_model(model, metadata.class_names, path.parent, version, preprocessing)
    arguments = [f"--output={path.parent}", *([] if version is None else [f"--version={version}"])]
    environment = {
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    done = subprocess.run(
        [sys.executable, "-m", "t2t_keras", "export", os.fspath(path), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ExportError(f"{path}: cannot be exported as a SavedModel.\n{done.stderr}")
    return Path(done.stdout.splitlines()[-1].removeprefix("wrote "))


def run(values: flags.FlagValues, arguments: list[str]) -> int:
    """Exports the model of the first argument."""
    _check(values)
    (source,) = arguments
    opened = open_model(source, **pick(values, (*MODEL, *WEIGHTS)))
    check_names(opened.metadata.class_names, len(opened.class_names), source)
    echo(f"wrote {_write(values, opened)}")
    return 0
