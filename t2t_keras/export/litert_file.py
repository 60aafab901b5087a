"""LiteRT (once TensorFlow Lite), for phones and small devices."""

import os
import tempfile
from pathlib import Path

import keras
import tensorflow as tf
from tensorflow.lite.python.convert import ConverterError

from t2t_keras.export.plain_model import save_graph

MODEL_NAME = "model.tflite"


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
        convert_to_litert(Path(scratch), folder / MODEL_NAME, quantize)


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
