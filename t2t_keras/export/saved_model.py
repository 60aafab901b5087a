"""A model as a TensorFlow SavedModel that takes pictures as they come, for TF Serving."""

import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from t2t_keras.errors import ExportError
from t2t_keras.export.classifier import Classifier, check_classifier
from t2t_keras.export.preprocessing import Preprocessing
from t2t_keras.export.versions import new_version, refuse_existing
from t2t_keras.export.warm_up import Request, write_warm_up
from t2t_keras.images.resize import Size

LABELS_NAME = "labels.txt"
WARM_UP_BATCHES = (1, 8)
_TOP = 5
_GREY = 127

_log = logging.getLogger(__name__)


def export_saved_model(
    model: keras.Model,
    class_names: Sequence[str],
    folder: str | os.PathLike,
    version: int | None = None,
    preprocessing: Preprocessing | None = None,
    *,
    top: int | None = None,
    warm_up_batches: Sequence[int] = WARM_UP_BATCHES,
) -> Path:
    """Writes FOLDER/VERSION, as TF Serving reads it: whole, or not there.

    `Classifier` says what the three signatures take and give: `serving_default`,
    `serving_image_bytes` and `features`. Probabilities are by the model's own activation, softmax
    or sigmoid, or by softmax where that is None. The labels are in `assets/`; requests to warm up
    with in `assets.extra/`.

    Args:
        model: A T2T-ViT of this package, with its classifier.
        class_names: Its classes' names, in the order of its outputs.
        folder: Made where it is missing.
        version: At least 1; None is the next free one.
        preprocessing: What the model was trained for; default ImageNet's at the model's size.
        top: How many of the likeliest classes are named, from 1 up to all; default 5, or all
            where there are fewer.
        warm_up_batches: Numbers of pictures of the requests to warm up with, each at least 1.

    Returns:
        The folder of the version.

    Raises:
        ExportError: The version exists already or cannot be written, or Keras runs on another
            backend than TensorFlow.
        ValueError: An argument is out of range, or does not fit the model.
    """
    check_backend()
    check_classifier(model, class_names)
    preprocessing = (preprocessing or Preprocessing()).for_model(model)
    top = min(_TOP, len(class_names)) if top is None else top
    if not 1 <= top <= len(class_names):
        raise ValueError(f"`top` must be 1 to {len(class_names)}. Received: top={top}")
    if any(size < 1 for size in warm_up_batches):
        raise ValueError(
            "`warm_up_batches` must be numbers of pictures, each at least 1. "
            f"Received: warm_up_batches={tuple(warm_up_batches)}"
        )
    refuse_existing(Path(folder), version)
    with tempfile.TemporaryDirectory() as scratch:
        labels = Path(scratch) / LABELS_NAME
        write_labels(labels, class_names)
        classifier = Classifier(model, class_names, labels, preprocessing, top)
        with new_version(Path(folder), version) as (part, target):
            requests = _warm_up_requests(preprocessing.image_size, warm_up_batches)
            _save(classifier, requests, part)
    _log.info("%s: SavedModel written, %d classes", target, len(class_names))
    return target


def check_backend() -> None:
    """Raises an ExportError where Keras runs on another backend than TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        raise ExportError(
            "An export needs Keras' TensorFlow backend. Save the model as a .keras file, and "
            "export that where KERAS_BACKEND=tensorflow is set."
        )


def write_labels(path: Path, class_names: Sequence[str]) -> None:
    """Writes a name a line, in the order of the model's outputs."""
    path.write_text("".join(f"{name}\n" for name in class_names), encoding="utf-8")


def _save(classifier: Classifier, requests: Iterable[Request], folder: Path) -> None:
    try:
        tf.saved_model.save(classifier, os.fspath(folder), signatures=classifier.signatures())
        write_warm_up(folder, requests)
    except tf.errors.OpError as error:  # TensorFlow's own of a full disk
        raise OSError(error.message) from error


def _warm_up_requests(size: Size, batches: Sequence[int]) -> Iterator[Request]:
    """Of each signature and batch size one; a grey picture costs a few bytes."""
    file = tf.io.encode_jpeg(tf.fill((*size, 3), tf.constant(_GREY, tf.uint8))).numpy()
    for count in batches:
        grey = tf.make_tensor_proto(float(_GREY), tf.float32, (count, *size, 3))
        yield "serving_default", {"image": grey}
        yield "serving_image_bytes", {"image_bytes": tf.make_tensor_proto([file] * count)}
        yield "features", {"image": grey}


def load_saved_model(folder: str | os.PathLike) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Loads what `export_saved_model` wrote.

    Args:
        folder: The folder of a version. A SavedModel is a program: load only what you trust.

    Returns:
        A function of (B, H, W, 3) RGB pictures in 0..255 that gives the outputs of
        `Classifier.classify_images` as arrays.
    """
    loaded = tf.saved_model.load(os.fspath(folder))

    def classify(images: np.ndarray) -> dict[str, np.ndarray]:
        # Looked up here, so that the function keeps the variables alive.
        signature = loaded.signatures["serving_default"]
        outputs = signature(image=tf.constant(images, tf.float32))
        return {name: value.numpy() for name, value in outputs.items()}

    return classify
