"""A model as an ONNX, LiteRT or OpenVINO file, with labels and its preprocessing beside it."""

import importlib.util
import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert import ConverterError

from t2t_keras.errors import ExportError, check
from t2t_keras.export.classifier import activation_of, check_classifier, features_and_logits
from t2t_keras.export.preprocessing import Preprocessing
from t2t_keras.export.saved_model import (
    LABELS_NAME,
    check_backend,
    check_version,
    new_version,
    write_labels,
)
from t2t_keras.files import write_json

ONNX_NAME = "model.onnx"
LITERT_NAME = "model.tflite"
OPENVINO_NAME = "model.xml"  # and model.bin beside it
PREPROCESSING_NAME = "preprocessing.json"
FORMATS = ("onnx", "litert", "openvino")
# Both store weights in fewer bits. With float16, ONNX Runtime and LiteRT compute in float32; with
# int8 they round what weights are multiplied with, to its own range. OpenVINO chooses by device.
QUANTIZED = ("float16", "int8")
# Packages to install, and those for int8; TensorFlow itself writes LiteRT.
_PACKAGES = {"onnx": ("onnx", "tf2onnx"), "litert": (), "openvino": ("openvino",)}
_PACKAGES_OF_INT8 = {"onnx": ("onnxruntime",), "litert": (), "openvino": ("nncf",)}

_log = logging.getLogger(__name__)


def plain_model(model: keras.Model, preprocessing: Preprocessing) -> keras.Model:
    """Returns a model that normalizes by itself.

    Its input is `image`, (B, H, W, 3) float32 RGB in 0..255; its outputs are `logits` and
    `probabilities`, (B, C) float32 of all classes in the order of the labels.
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
    activation = keras.layers.Activation(
        activation_of(model), dtype="float32", name="probabilities"
    )
    return keras.Model(image, {"logits": logits, "probabilities": activation(logits)})


def save_graph(model: keras.Model, folder: Path) -> None:
    """Writes a plain model as a SavedModel, the form that LiteRT and OpenVINO convert."""
    image = tf.TensorSpec(model.input_shape, tf.float32, name="image")
    graph = tf.Module()
    # Not the model itself: Keras would trace it once for each of its layers' functions.
    graph.weights = [weight.value for weight in model.weights]
    graph.run = tf.function(
        lambda image: model(image, training=False), input_signature=[image], autograph=False
    )
    tf.saved_model.save(graph, os.fspath(folder), signatures=graph.run)


def convert_to_litert(graph: Path, folder: Path, quantize: str | None) -> None:
    """Writes `model.tflite`, with LiteRT's own operations alone."""
    converter = tf.lite.TFLiteConverter.from_saved_model(os.fspath(graph))
    if quantize is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    (folder / LITERT_NAME).write_bytes(converter.convert())


def convert_to_openvino(graph: Path, folder: Path, quantize: str | None) -> None:
    """Writes `model.xml` and `model.bin`; with "int8" weights outside layers are in float16."""
    import openvino

    model = openvino.Core().read_model(graph)
    if quantize == "int8":
        import nncf

        model = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_ASYM)
    openvino.save_model(model, folder / OPENVINO_NAME, compress_to_fp16=quantize is not None)


def write_onnx(model: keras.Model, target: Path) -> None:
    """Writes an ONNX file in float32."""
    # Without the signature Keras wants a model that was called before.
    image = keras.InputSpec(shape=model.input_shape, dtype="float32", name="image")
    model.export(str(target), format="onnx", verbose=False, input_signature=[image])


def quantize_onnx(source: Path, target: Path, quantize: str) -> None:
    """Writes a float32 ONNX file anew; with "int8" the weights of matrix products are in 8 bits."""
    if quantize == "float16":
        _onnx_in_float16(source, target)
        return
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Convolutions stay: ONNX Runtime is slower with the stem's in integers.
    quantize_dynamic(source, target, op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8)


def _onnx_in_float16(source: Path, target: Path) -> None:
    import onnx

    model = onnx.load(source)
    graph = model.graph
    casts = []
    for tensor in [each for each in graph.initializer if each.data_type == onnx.TensorProto.FLOAT]:
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


def _write(model: keras.Model, folder: Path, format: str, quantize: str | None) -> None:
    """Writes the files of a plain model in one of the formats."""
    with tempfile.TemporaryDirectory() as scratch:
        if format == "onnx":
            full = (Path(scratch) if quantize else folder) / ONNX_NAME
            write_onnx(model, full)
            if quantize:
                quantize_onnx(full, folder / ONNX_NAME, quantize)
            return
        save_graph(model, Path(scratch))
        convert = convert_to_litert if format == "litert" else convert_to_openvino
        convert(Path(scratch), folder, quantize)


def _converter_errors(format: str, quantize: str | None) -> tuple[type[Exception], ...]:
    """Returns the errors of a converter for a model that it does not support."""
    # tf2onnx passes on any error that one of its rules meets.
    errors = [RuntimeError, ValueError, TypeError, LookupError, AttributeError, tf.errors.OpError]
    if format == "litert":
        errors += [ConverterError]
    if format == "openvino":
        from openvino import frontend

        errors += [frontend.GeneralFailure, frontend.InitializationFailure]
        errors += [frontend.NotImplementedFailure]
        errors += [frontend.OpConversionFailure, frontend.OpValidationFailure]
    if format == "openvino" and quantize == "int8":
        import nncf

        errors += [nncf.InternalError, nncf.UnsupportedModelError, nncf.ValidationError]
    if format == "onnx" and quantize is not None:
        from onnx.shape_inference import InferenceError

        errors += [InferenceError]
    return tuple(errors)


def _require_packages(format: str, quantize: str | None) -> None:
    packages = (*_PACKAGES[format], *(_PACKAGES_OF_INT8[format] if quantize == "int8" else ()))
    if missing := [name for name in packages if importlib.util.find_spec(name) is None]:
        raise ExportError(
            f"`format={format}` needs {', '.join(missing)}, not installed here. "
            'Install with: pip install "t2t-keras[export]"'
        )


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
    is None. Beside it are `labels.txt` and `preprocessing.json`, which describes how an image
    becomes one of that size.

    Args:
        model: A T2T-ViT of this package, with its classifier.
        class_names: Names of its classes, in the order of its outputs.
        folder: Folder of the versions; made where it is missing.
        format: "onnx" (`model.onnx`), "litert" (`model.tflite`) or "openvino" (`model.xml`).
        quantize: None, "float16" (half as large) or "int8" (a third or less).
        version: Number of the version, at least 1; None is the next free one.
        preprocessing: The model's preprocessing; default ImageNet's at the model's size.

    Returns:
        The folder of the version.

    Raises:
        ExportError: A package is missing, the version exists already or cannot be written, the
            converter does not support the model, or Keras runs on another backend than TensorFlow.
        ValueError: An argument is out of range, or does not fit the model.
    """
    check_backend()
    check(format in FORMATS, "format", format, f"one of {', '.join(FORMATS)}")
    expected = f"None or one of {', '.join(QUANTIZED)}"
    check(quantize in (None, *QUANTIZED), "quantize", quantize, expected)
    _require_packages(format, quantize)
    check_classifier(model, class_names)
    fixed = None not in model.input_shape[1:]
    check(fixed, "model", model.input_shape, f"one for images of a fixed size for {format}")
    preprocessing = (preprocessing or Preprocessing()).for_model(model)
    check_version(Path(folder), version)
    plain = plain_model(model, preprocessing)
    description = {
        "image_size": list(preprocessing.size),
        "crop_pct": preprocessing.crop_pct,
        "resize": "bicubic, antialiased, to cover image_size / crop_pct; then the center",
        "input": "image: (B, height, width, 3) float32 RGB in 0..255; the model normalizes",
    }
    with new_version(Path(folder), version) as (part, target):
        part.mkdir()
        write_labels(part / LABELS_NAME, class_names)
        write_json(part / PREPROCESSING_NAME, description)
        try:
            _write(plain, part, format, quantize)
        except _converter_errors(format, quantize) as error:
            raise ExportError(
                f"{target}: cannot be converted to {format}; another `format` may do. "
                f"({type(error).__name__}: {error})"
            ) from error
    _log.info("%s: written for %s, %d classes", target, format, len(class_names))
    return target
