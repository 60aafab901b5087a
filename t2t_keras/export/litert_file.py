"""LiteRT (once TensorFlow Lite), for phones and small devices."""

from pathlib import Path

import keras
import tensorflow as tf

MODEL_NAME = "model.tflite"


def write_litert(model: keras.Model, folder: Path, quantize: str | None) -> None:
    """Writes `model.tflite`, which holds LiteRT's own operations alone.

    Args:
        model: What `plain_model` makes.
        folder: Where it goes.
        quantize: "float16" stores weights in 16 bits and computes in 32; "int8" stores them in 8
            bits and rounds what they are multiplied with, to its own range.
    """
    settings = {}
    if quantize is not None:
        settings["optimizations"] = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        settings["target_spec"] = {"supported_types": [tf.float16]}
    model.export(str(folder / MODEL_NAME), format="litert", verbose=False, **settings)
