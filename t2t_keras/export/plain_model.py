"""What is handed to other formats: pixels of the model's size in, numbers of all classes out."""

import os
from pathlib import Path

import keras
import tensorflow as tf

from t2t_keras.export.classifier import activation_of, features_and_logits
from t2t_keras.export.preprocessing import Preprocessing


def plain_model(model: keras.Model, preprocessing: Preprocessing) -> keras.Model:
    """A model that normalises by itself.

    Args:
        model: A T2T-ViT of this package, with its classifier.
        preprocessing: What it was trained for; pictures are resized before they come here.

    Returns:
        A model from `image`, (B, H, W, 3) float32 RGB in 0..255, to `logits` and `probabilities`
        (by `activation_of`), (B, C) float32 of all classes in the order of the labels.
    """
    classify = features_and_logits(model)
    image = keras.Input(model.input_shape[1:], name="image")
    normalised = keras.layers.Rescaling(
        scale=[1 / (255 * std) for std in preprocessing.std],
        offset=[
            -mean / std for mean, std in zip(preprocessing.mean, preprocessing.std, strict=True)
        ],
        dtype="float32",
    )(image)
    _, logits = classify(normalised)
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
