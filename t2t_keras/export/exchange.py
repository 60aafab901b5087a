"""A model in a format of other runtimes, with its labels and what images need beside it."""

import importlib.util
import json
import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert import ConverterError

from t2t_keras.errors import ExportError
from t2t_keras.export.classifier import activation_of, check_classifier, features_and_logits
from t2t_keras.export.preprocessing import Preprocessing
from t2t_keras.export.saved_model import (
    LABELS_NAME,
    check_backend,
    new_version,
    refuse_existing,
    write_labels,
)


def require_packages(purpose: str, packages: tuple[str, ...]) -> None:
    """Raises an ExportError with the line that installs what is missing.

    Args:
        purpose: What they are needed for.
        packages: Their names, to install and to import.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise ExportError(
            f"{purpose} needs {', '.join(missing)}, not installed here. "
            'Install with: pip install "t2t-keras[export]"'
        )


def plain_model(model: keras.Model, preprocessing: Preprocessing) -> keras.Model:
    """A model that normalizes by itself.

    Args:
        model: A T2T-ViT of this package, with its classifier.
        preprocessing: What it was trained for; images are resized before they come here.

    Returns:
        A model from `image`, (B, H, W, 3) float32 RGB in 0..255, to `logits` and `probabilities`
        (by `activation_of`), (B, C) float32 of all classes in the order of the labels.
    """
    classify = features_and_logits(model)
    image = keras.Input(model.input_shape[1:], name="image")
    normalized = keras.layers.Rescaling(
        scale=[1 / (255 * std) for std in preprocessing.std],
        offset=[
            -mean / std for mean, std in zip(preprocessing.mean, preprocessing.std, strict=True)
        ],
        dtype="float32",
    )(image)
    _, logits = classify(normalized)
    # Each output takes its name from the layer it comes from.
    logits = keras.layers.Identity(dtype="float32", name="logits")(logits)
    activation = activation_of(model)
    probabilities = keras.layers.Activation(activation, dtype="float32", name="probabilities")(
        logits
    )
    return keras.Model(image, {"logits": logits, "probabilities": probabilities})


def save_graph(model: keras.Model, folder: Path) -> None:
    """Writes what `plain_model` makes as a SavedModel, the form that converters read."""
    image = tf.TensorSpec(model.input_shape, tf.float32, name="image")
    graph = tf.Module()
    # Not the model itself: Keras would trace it once for each of its layers' functions.
    graph.weights = [weight.value for weight in model.weights]
    graph.run = tf.function(
        lambda image: model(image, training=False), input_signature=[image], autograph=False
    )
    tf.saved_model.save(graph, os.fspath(folder), signatures=graph.run)


ONNX_NAME = "model.onnx"


def write_onnx(model: keras.Model, folder: Path, quantize: str | None) -> None:
    """Writes `model.onnx`.

    Args:
        model: What `plain_model` makes.
        folder: Where it goes.
        quantize: "float16" stores weights in 16 bits and computes in 32; "int8" stores those of
            matrix products in 8 bits and rounds what they are multiplied with, to its own range.

    Raises:
        RuntimeError: The model cannot be quantized; tf2onnx' own errors are of many kinds.
    """
    if quantize is None:
        _write_full(model, folder / ONNX_NAME)
        return
    with tempfile.TemporaryDirectory() as scratch:
        full = Path(scratch) / ONNX_NAME
        _write_full(model, full)
        quantize_onnx(full, folder / ONNX_NAME, quantize)


def quantize_onnx(source: Path, target: Path, quantize: str) -> None:
    """Writes a float32 ONNX file anew, as `write_onnx` says of "float16" and "int8"."""
    from onnx.shape_inference import InferenceError

    write = _write_half if quantize == "float16" else _write_int8
    try:
        write(source, target)
    except InferenceError as error:
        raise RuntimeError(str(error)) from error


def _write_full(model: keras.Model, target: Path) -> None:
    # Without the signature Keras wants a model that was called before.
    image = keras.InputSpec(shape=model.input_shape, dtype="float32", name="image")
    model.export(str(target), format="onnx", verbose=False, input_signature=[image])


def _write_half(source: Path, target: Path) -> None:
    import onnx

    model = onnx.load(source)
    graph = model.graph
    casts = []
    for tensor in [one for one in graph.initializer if one.data_type == onnx.TensorProto.FLOAT]:
        values = onnx.numpy_helper.to_array(tensor)
        if values.size == 1:
            continue  # saves nothing, and may be too small for 16 bits
        stored = f"{tensor.name}_float16"
        casts.append(
            onnx.helper.make_node("Cast", [stored], [tensor.name], to=onnx.TensorProto.FLOAT)
        )
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), stored))
    nodes = [*casts, *graph.node]  # in the order of use
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, target)


def _write_int8(source: Path, target: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Convolutions stay: ONNX Runtime is slower with the stem's in integers.
    quantize_dynamic(source, target, op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8)


OPENVINO_NAME = "model.xml"  # and model.bin beside it


def write_openvino(model: keras.Model, folder: Path, quantize: str | None) -> None:
    """Writes `model.xml` and `model.bin`.

    Args:
        model: What `plain_model` makes.
        folder: Where they go.
        quantize: "float16" stores weights in 16 bits, "int8" those of layers in 8 and others in
            16; what OpenVINO computes in is its own choice on each device.

    Raises:
        RuntimeError: OpenVINO has no words for the model.
    """
    with tempfile.TemporaryDirectory() as scratch:
        save_graph(model, Path(scratch))
        convert_to_openvino(Path(scratch), folder / OPENVINO_NAME, quantize)


def convert_to_openvino(source: Path, target: Path, quantize: str | None) -> None:
    """Writes the files of what `save_graph` wrote, as `write_openvino` says."""
    import openvino
    from openvino import frontend

    try:
        graph = openvino.Core().read_model(source)
    except (
        frontend.GeneralFailure,
        frontend.InitializationFailure,
        frontend.NotImplementedFailure,
        frontend.OpConversionFailure,
        frontend.OpValidationFailure,
    ) as error:
        raise RuntimeError(str(error)) from error
    if quantize == "int8":
        graph = _in_int8(graph)
    openvino.save_model(graph, target, compress_to_fp16=quantize is not None)


def _in_int8(graph):
    import nncf

    try:
        return nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_ASYM)
    except (nncf.InternalError, nncf.UnsupportedModelError, nncf.ValidationError) as error:
        raise RuntimeError(str(error)) from error


LITERT_NAME = "model.tflite"


def write_litert(model: keras.Model, folder: Path, quantize: str | None) -> None:
    """Writes `model.tflite`, which holds LiteRT's own operations alone.

    Args:
        model: What `plain_model` makes.
        folder: Where it goes.
        quantize: "float16" stores weights in 16 bits and computes in 32; "int8" stores them in 8
            bits and rounds what they are multiplied with, to its own range.

    Raises:
        RuntimeError: The converter has no words for the model.
    """
    with tempfile.TemporaryDirectory() as scratch:
        save_graph(model, Path(scratch))
        convert_to_litert(Path(scratch), folder / LITERT_NAME, quantize)


def convert_to_litert(source: Path, target: Path, quantize: str | None) -> None:
    """Writes a file of what `save_graph` wrote, as `write_litert` says."""
    try:
        converter = tf.lite.TFLiteConverter.from_saved_model(os.fspath(source))
        if quantize is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        target.write_bytes(converter.convert())
    except ConverterError as error:
        raise RuntimeError(str(error)) from error


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
    says how an image becomes one of that size.

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
            "`model` must take images of a fixed size to be exported to this format. "
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
        "resize": "bicubic, antialiased, to cover image_size / crop_pct; then the center",
        "input": "image: (B, height, width, 3) float32 RGB in 0..255; the model normalizes",
    }
    return json.dumps(settings, indent=1) + "\n"
