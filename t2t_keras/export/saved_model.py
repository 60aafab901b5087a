"""A model as a TensorFlow SavedModel that takes pictures as they come, for TF Serving."""

import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from t2t_keras.data.crops import evaluation_crop
from t2t_keras.data.normalise import Colour, normalise
from t2t_keras.errors import ExportError
from t2t_keras.files import atomic_path
from t2t_keras.images.constants import DEFAULT_CROP_PCT, IMAGENET_MEAN, IMAGENET_STD

LABELS_NAME = "labels.txt"

_log = logging.getLogger(__name__)


class Classifier(tf.Module):
    """From pictures of any size to named classes, all inside the graph.

    Args:
        model: A model with a classifier, on normalised pictures of a fixed size.
        class_names: Its classes' names, in the order of its outputs.
        labels_file: A file with one of these names a line; becomes part of the SavedModel.
        crop_pct: Share of the resized side that the evaluation's crop keeps, in (0, 1].
        mean: Of each channel, in 0..1, that the model was trained with.
        std: Of each channel, in 0..1.
    """

    def __init__(
        self,
        model: keras.Model,
        class_names: Sequence[str],
        labels_file: Path,
        crop_pct: float,
        mean: Colour,
        std: Colour,
    ):
        super().__init__()
        # The layer before the activation, whatever that is.
        self.model = keras.Model(model.input, model.get_layer("head").output)
        self.labels = tf.saved_model.Asset(os.fspath(labels_file))
        self._class_names = list(class_names)
        self._crop_pct = crop_pct
        self._mean, self._std = mean, std

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32, name="image")])
    def serve(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """(B, H, W, 3) RGB in 0..255 -> the outputs of `classify`."""
        target = tuple(self.model.input_shape[1:3])
        cropped = tf.map_fn(
            lambda picture: evaluation_crop(picture, target, self._crop_pct),
            image,
            fn_output_signature=tf.TensorSpec((*target, 3), tf.uint8),
        )
        return self.classify(cropped)

    def classify(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies pictures of the model's size.

        Args:
            images: (B, height, width, 3) uint8 RGB.

        Returns:
            `logits` and `probabilities`, (B, C) float32; `class_index` (B,) int32 and
            `class_name` (B,) string of the likeliest class.
        """
        normalised = normalise(images, self._mean, self._std)
        logits = tf.cast(self.model(normalised, training=False), tf.float32)
        index = tf.argmax(logits, axis=-1, output_type=tf.int32)
        return {
            "logits": logits,
            "probabilities": tf.nn.softmax(logits),
            "class_index": index,
            "class_name": tf.gather(tf.constant(self._class_names), index),
        }


def next_version(folder: Path) -> int:
    """The lowest version above all in `folder`, which need not exist; 1 where there is none."""
    names = os.listdir(folder) if folder.is_dir() else []
    return max((int(name) for name in names if name.isascii() and name.isdecimal()), default=0) + 1


def export_saved_model(
    model: keras.Model,
    class_names: Sequence[str],
    folder: str | os.PathLike,
    version: int | None = None,
    crop_pct: float = DEFAULT_CROP_PCT,
    mean: Colour = IMAGENET_MEAN,
    std: Colour = IMAGENET_STD,
) -> Path:
    """Writes FOLDER/VERSION, as TF Serving reads it: whole, or not there.

    Args:
        model: A model with a classifier, for pictures of a fixed size.
        class_names: Its classes' names, in the order of its outputs.
        folder: Made where it is missing.
        version: At least 1; None is the next free one.
        crop_pct: Share of the resized side that the evaluation's crop keeps, in (0, 1].
        mean: Of each channel, in 0..1, that the model was trained with.
        std: Of each channel, in 0..1.

    Returns:
        The folder of the version.

    Raises:
        ExportError: The version exists already or cannot be written, or Keras runs on another
            backend than TensorFlow.
        ValueError: The names are not the model's classes, its picture size is open, or `version`
            is below 1.
    """
    folder = Path(folder)
    _check(model, class_names, version)
    target = folder / str(next_version(folder) if version is None else version)
    if target.exists():
        raise ExportError(
            f"{target}: exists already, and a version never changes. Export to another version; "
            f"{next_version(folder)} is free."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(target) as part:
            _write(part, model, class_names, crop_pct=crop_pct, mean=mean, std=std)
    except (OSError, tf.errors.OpError) as error:
        raise ExportError(
            f"{target}: cannot be written ({error}). Nothing is left there."
        ) from error
    _log.info("%s: SavedModel written, %d classes", target, len(class_names))
    return target


def _check(model: keras.Model, class_names: Sequence[str], version: int | None) -> None:
    if keras.backend.backend() != "tensorflow":
        raise ExportError(
            "A SavedModel needs Keras' TensorFlow backend. Save the model as a .keras file, and "
            "load it where KERAS_BACKEND=tensorflow is set."
        )
    if version is not None and version < 1:
        raise ValueError(f"`version` must be at least 1. Received: version={version}")
    if len(class_names) != model.output_shape[-1]:
        raise ValueError(
            f"`class_names` must hold the names of the model's {model.output_shape[-1]} classes. "
            f"Received: {len(class_names)} names"
        )
    if None in model.input_shape[1:]:
        raise ValueError(
            "`model` must take pictures of a fixed size, to which others are resized. "
            f"Received: input_shape={model.input_shape}"
        )


def _write(folder: Path, model: keras.Model, class_names: Sequence[str], **preprocessing) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        labels = Path(scratch) / LABELS_NAME
        labels.write_text("".join(f"{name}\n" for name in class_names), encoding="utf-8")
        module = Classifier(model, class_names, labels, **preprocessing)
        tf.saved_model.save(module, os.fspath(folder), signatures={"serving_default": module.serve})


def load_saved_model(folder: str | os.PathLike) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Loads what `export_saved_model` wrote.

    Args:
        folder: The folder of a version. A SavedModel is a program: load only what you trust.

    Returns:
        A function of (B, H, W, 3) RGB pictures in 0..255 that gives the outputs of
        `Classifier.classify` as arrays.
    """
    loaded = tf.saved_model.load(os.fspath(folder))

    def classify(images: np.ndarray) -> dict[str, np.ndarray]:
        # Looked up here, so that the function keeps the variables alive.
        signature = loaded.signatures["serving_default"]
        outputs = signature(image=tf.constant(images, tf.float32))
        return {name: value.numpy() for name, value in outputs.items()}

    return classify
