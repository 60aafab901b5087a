"""The command `export`: a model as a SavedModel, ONNX, LiteRT or OpenVINO file."""

import dataclasses
from pathlib import Path

from absl import flags

from t2t_keras.cli.flags import FORMATS, MODEL, WEIGHTS, pick
from t2t_keras.cli.main import echo
from t2t_keras.cli.models import OpenedModel, check_names, open_model
from t2t_keras.errors import check
from t2t_keras.export import export_model, export_saved_model

SAVED_MODEL = FORMATS[0]
OUTPUT_DIR = "saved_models"


def _check(values: flags.FlagValues) -> None:
    saved_model, quantize = values.format == SAVED_MODEL, values.quantize
    expected = "left out with `format=savedmodel`, which TensorFlow Serving runs in float32"
    check(not (saved_model and quantize), "quantize", quantize, expected)
    for name in ("top", "warm_up_batches"):
        value = values[name].value
        expected = "left out except with `format=savedmodel`"
        check(saved_model or value is None, name, value, expected)


def _write(values: flags.FlagValues, opened: OpenedModel) -> Path:
    preprocessing = dataclasses.replace(opened.preprocessing, image_size=values.image_size)
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


def run(values: flags.FlagValues, arguments: list[str]) -> int:
    """Exports the model of the first argument."""
    _check(values)
    (source,) = arguments
    opened = open_model(source, **pick(values, (*MODEL, *WEIGHTS)))
    check_names(opened.metadata.class_names, len(opened.class_names), source)
    echo(f"wrote {_write(values, opened)}")
    return 0
