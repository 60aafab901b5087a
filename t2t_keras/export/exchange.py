"""A model in a format of other runtimes, with its labels and what pictures need beside it."""

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf

from t2t_keras.errors import ExportError
from t2t_keras.export.classifier import check_classifier
from t2t_keras.export.extras import require_packages
from t2t_keras.export.litert_file import write_litert
from t2t_keras.export.onnx_file import write_onnx
from t2t_keras.export.openvino_file import write_openvino
from t2t_keras.export.plain_model import plain_model
from t2t_keras.export.preprocessing import Preprocessing
from t2t_keras.export.saved_model import LABELS_NAME, check_backend, write_labels
from t2t_keras.export.versions import new_version, refuse_existing

QUANTIZED = ("float16", "int8")
PREPROCESSING_NAME = "preprocessing.json"
_WRITERS = {"onnx": write_onnx, "litert": write_litert, "openvino": write_openvino}
# TensorFlow itself writes LiteRT.
_PACKAGES = {"onnx": ("onnx", "tf2onnx"), "openvino": ("openvino",)}
_PACKAGES_OF_INT8 = {"onnx": ("onnxruntime",), "openvino": ("nncf",)}
# What the converters raise for a model that they have no words for; tf2onnx passes on whatever one
# of its rules stumbled over.
_CONVERTER_ERRORS = (
    RuntimeError, ValueError, TypeError, LookupError, AttributeError, tf.errors.OpError,
)  # fmt: skip

_log = logging.getLogger(__name__)


def export_model(
    model: keras.Model,
    class_names: Sequence[str],
    folder: str | os.PathLike,
    format: str,
    quantize: str | None = None,
    version: int | None = None,
    preprocessing: Preprocessing | None = None,
) -> Path:
    """Writes FOLDER/VERSION with the model in another format, whole or not at all.

    The model takes `image`, (B, H, W, 3) float32 RGB in 0..255 at its own size, and gives `logits`
    and `probabilities`, (B, C) float32; the latter by its own activation, or by softmax where that
    is None. Beside it are `labels.txt` and `preprocessing.json`, which
    says how a picture becomes one of that size.

    Args:
        model: A T2T-ViT of this package, with its classifier.
        class_names: Its classes' names, in the order of its outputs.
        folder: Made where it is missing.
        format: "onnx" (`model.onnx`), "litert" (`model.tflite`) or "openvino" (`model.xml`).
        quantize: None, "float16" (half as large) or "int8" (a third or less).
        version: At least 1; None is the next free one.
        preprocessing: What the model was trained for; default ImageNet's at the model's size.

    Returns:
        The folder of the version.

    Raises:
        ExportError: A package is missing, the version exists already or cannot be written, the
            converter has no words for the model, or Keras runs on another backend than TensorFlow.
        ValueError: An argument is out of range, or does not fit the model.
    """
    check_backend()
    if format not in _WRITERS:
        raise ValueError(
            f"`format` must be one of {', '.join(_WRITERS)}. Received: format={format}"
        )
    if quantize not in (None, *QUANTIZED):
        raise ValueError(
            f"`quantize` must be None or one of {', '.join(QUANTIZED)}. "
            f"Received: quantize={quantize}"
        )
    of_int8 = _PACKAGES_OF_INT8.get(format, ()) if quantize == "int8" else ()
    require_packages(f"--format={format}", (*_PACKAGES.get(format, ()), *of_int8))
    check_classifier(model, class_names)
    if None in model.input_shape[1:]:
        raise ValueError(
            "`model` must take pictures of a fixed size to be exported to this format. "
            f"Received: input_shape={model.input_shape}"
        )
    preprocessing = (preprocessing or Preprocessing()).for_model(model)
    refuse_existing(Path(folder), version)
    plain = plain_model(model, preprocessing)
    with new_version(Path(folder), version) as (part, target):
        part.mkdir()
        write_labels(part / LABELS_NAME, class_names)
        (part / PREPROCESSING_NAME).write_text(_description(preprocessing), encoding="ascii")
        try:
            _WRITERS[format](plain, part, quantize)
        except _CONVERTER_ERRORS as error:
            raise ExportError(
                f"{target}: cannot be converted to {format}; another --format may do. "
                f"({type(error).__name__}: {error})"
            ) from error
    _log.info("%s: written for %s, %d classes", target, format, len(class_names))
    return target


def _description(preprocessing: Preprocessing) -> str:
    settings = {
        "image_size": list(preprocessing.image_size),
        "crop_pct": preprocessing.crop_pct,
        "resize": "bicubic, antialiased, to cover image_size / crop_pct; then the centre",
        "input": "image: (B, height, width, 3) float32 RGB in 0..255; the model normalises",
    }
    return json.dumps(settings, indent=1) + "\n"
