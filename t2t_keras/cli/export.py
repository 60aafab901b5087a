"""The `export` command: a model as a SavedModel, ONNX, LiteRT or OpenVINO file."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import keras

from t2t_keras.cli.main import echo, exit_code, show_log
from t2t_keras.cli.models import OpenedModel, open_model
from t2t_keras.cli.settings import image_size_of
from t2t_keras.data.ops.normalize import Color
from t2t_keras.errors import ExportError
from t2t_keras.export import Preprocessing, export_model, export_saved_model
from t2t_keras.images.constants import STATISTICS
from t2t_keras.images.resize import Size
from t2t_keras.weights.formats import ModelMetadata

SAVED_MODEL = "savedmodel"
FORMATS = (SAVED_MODEL, "onnx", "litert", "openvino")
OUTPUT_DIR = "saved_models"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportCommand:
    """What is asked for; the flags of `python -m t2t_keras.export` say what each means.

    Args:
        source: A run's folder, a `.keras` file, a file of weights, or a variant's name.
        weights: For a variant's name: "imagenet" or a file.
    """

    source: str
    format: str = SAVED_MODEL
    quantize: str | None = None
    model_name: str | None = None
    weights: str | None = None
    labels: str | None = None
    image_size: list[str] | None = None
    num_heads: int | None = None
    crop_pct: float | None = None
    statistics: str | None = None
    mean: Color | None = None
    std: Color | None = None
    output: str | None = None
    version: int | None = None
    top: int | None = None
    warm_up_batches: tuple[int, ...] = ()


def run(command: ExportCommand, debug: bool = False) -> int:
    """Exports, says where the result is and returns the exit code.

    Args:
        command: What to do.
        debug: Let errors through, with their traceback.
    """
    show_log(sys.stderr)
    return exit_code(lambda: _export(command), debug)


def _export(command: ExportCommand) -> int:
    _check(command)
    size = image_size_of(command.image_size) if command.image_size else None
    found = open_model(
        command.source,
        model_name=command.model_name,
        weights=command.weights,
        labels=command.labels,
        image_size=size,
        num_heads=command.num_heads,
    )
    if not found.card.class_names:
        raise ValueError(
            f"--labels must name the {len(found.class_names)} classes of {command.source}, one a "
            "line. Received: --labels="
        )
    echo(f"wrote {_write(command, found, size)}")
    return 0


def preprocessing_of(card: ModelMetadata) -> Preprocessing:
    """What the images of a model go through."""
    mean, std = STATISTICS[card.statistics]
    return Preprocessing(crop_pct=card.crop_pct, mean=mean, std=std)


def _check(command: ExportCommand) -> None:
    if command.format not in FORMATS:
        raise ValueError(
            f"--format must be one of {', '.join(FORMATS)}. Received: --format={command.format}"
        )
    if command.statistics and (command.mean or command.std):
        raise ValueError(
            "--statistics must be left out with --mean and --std, which say the same in numbers. "
            f"Received: --statistics={command.statistics}"
        )
    if command.format == SAVED_MODEL and command.quantize:
        raise ValueError(
            "--quantize must be left out with --format=savedmodel, which TensorFlow Serving runs "
            "in float32; onnx, litert and openvino take it. "
            f"Received: --quantize={command.quantize}"
        )
    if command.format != SAVED_MODEL and (command.top is not None or command.warm_up_batches):
        raise ValueError(
            "--top and --warm_up_batches must be left out but for --format=savedmodel: other "
            f"formats give all classes. Received: --format={command.format}"
        )


def _write(command: ExportCommand, found: OpenedModel, size: Size | None) -> Path:
    given = {
        name: value
        for name in ("crop_pct", "mean", "std")
        if (value := getattr(command, name)) is not None
    }
    card = found.card
    if command.statistics:
        card = dataclasses.replace(card, statistics=command.statistics)
    prepared = preprocessing_of(card)
    preprocessing = dataclasses.replace(prepared, image_size=size, **given)
    folder = Path(command.output) if command.output else found.folder or _default(found)
    if command.format == SAVED_MODEL:
        batches = {"warm_up_batches": command.warm_up_batches} if command.warm_up_batches else {}
        return export_saved_model(
            found.model,
            found.class_names,
            folder,
            command.version,
            preprocessing,
            top=command.top,
            **batches,
        )
    return export_model(
        found.model,
        found.class_names,
        # Beside the versions for TensorFlow Serving, which looks at numbers alone.
        folder / "-".join(filter(None, (command.format, command.quantize))),
        command.format,
        command.quantize,
        command.version,
        preprocessing,
    )


def _default(found: OpenedModel) -> Path:
    return Path(OUTPUT_DIR) / found.model.name


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
        [sys.executable, "-m", "t2t_keras.cli.export"],
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
    echo(str(export_saved_model(keras.saving.load_model(path), *rest, Preprocessing(**given))))


if __name__ == "__main__":
    export_given()
