"""A model as a TensorFlow SavedModel that takes images as they come, for TensorFlow Serving."""

import contextlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from t2t_keras.errors import ExportError, check
from t2t_keras.export.classifier import Classifier, check_classifier
from t2t_keras.export.preprocessing import Preprocessing
from t2t_keras.files import atomic_path, locked, remove_leftovers, write_text
from t2t_keras.images.resize import Size

LABELS_NAME = "labels.txt"
WARM_UP_BATCHES = (1, 8)
WARM_UP_NAME = "assets.extra/tf_serving_warmup_requests"
_LOCK_NAME = ".export"  # held during an export into its folder
_TOP = 5
_GRAY = 127

_log = logging.getLogger(__name__)


def check_backend() -> None:
    """Raises an ExportError where Keras runs on another backend than TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        raise ExportError(
            "An export needs Keras' TensorFlow backend. Save the model as a .keras file, and "
            "export that where KERAS_BACKEND=tensorflow is set."
        )


def write_labels(path: Path, class_names: Sequence[str]) -> None:
    """Writes one name per line, in the order of the model's outputs; whole or not at all."""
    write_text(path, "".join(f"{name}\n" for name in class_names))


def next_version(folder: Path) -> int:
    """Returns the lowest number above all versions in `folder`, which need not exist.

    Args:
        folder: Folder of the versions.
    """
    names = os.listdir(folder) if folder.is_dir() else []
    return max((int(name) for name in names if name.isascii() and name.isdecimal()), default=0) + 1


def check_version(folder: Path, version: int | None) -> None:
    """Raises an ExportError where that version is there already."""
    check(version is None or version >= 1, "version", version, "at least 1")
    if version is not None and (folder / str(version)).exists():
        raise ExportError(
            f"{folder / str(version)}: exists already, and a version never changes. Export to "
            f"another version; {next_version(folder)} is free."
        )


@contextlib.contextmanager
def new_version(folder: Path, version: int | None) -> Iterator[tuple[Path, Path]]:
    """Yields a path to write a version to, and the one it gets when the block ends well.

    Exports into one folder wait for each other. What a killed one left of this version is removed.
    """
    target = folder / (str(version) if version is not None else "VERSION")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / _LOCK_NAME) as held:
            check_version(folder, version)  # another export may have come before
            target = folder / str(next_version(folder) if version is None else version)
            if held:
                remove_leftovers(folder, target.name)
            with atomic_path(target) as part:
                yield part, target
    except OSError as error:
        raise ExportError(
            f"{target}: cannot be written ({error}). Nothing is left there: make room, or export "
            "to another folder."
        ) from error


# Warm-up requests, as tensorflow_serving/apis/{prediction_log,predict,model}.proto encode them

_PREDICT_LOG, _REQUEST = 6, 1  # numbers of fields
_MODEL_SPEC, _INPUTS = 1, 2
_SIGNATURE_NAME = 3
_KEY, _VALUE = 1, 2
_LENGTH_DELIMITED = 2


def _write_warm_up(folder: Path, size: Size, batches: Iterable[int]) -> None:
    """Writes a request of each signature and batch size; a gray image costs a few bytes."""
    path = folder / WARM_UP_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    file = tf.io.encode_jpeg(tf.fill((*size, 3), tf.constant(_GRAY, tf.uint8))).numpy()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for count in batches:
            gray = tf.make_tensor_proto(float(_GRAY), tf.float32, (count, *size, 3))
            files = tf.make_tensor_proto([file] * count)
            writer.write(_prediction_log("serving_default", {"image": gray}))
            writer.write(_prediction_log("serving_image_bytes", {"image_bytes": files}))
            writer.write(_prediction_log("features", {"image": gray}))


def _prediction_log(signature: str, inputs: Mapping[str, Any]) -> bytes:
    request = _field(_MODEL_SPEC, _field(_SIGNATURE_NAME, signature.encode()))
    for name, tensor in inputs.items():
        entry = _field(_KEY, name.encode()) + _field(_VALUE, tensor.SerializeToString())
        request += _field(_INPUTS, entry)
    return _field(_PREDICT_LOG, _field(_REQUEST, request))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Encodes seven bits a byte, the lowest first; the eighth says that more follow."""
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


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
    """Writes FOLDER/VERSION as TensorFlow Serving reads it: whole, or not at all.

    `Classifier` describes the three signatures `serving_default`, `serving_image_bytes` and
    `features`. Probabilities are by the model's own activation, softmax or sigmoid, or by softmax
    where that is None. The labels are in `assets/`, warm-up requests in `assets.extra/`.

    Args:
        model: A T2T-ViT of this package, with its classifier.
        class_names: Names of its classes, in the order of its outputs.
        folder: Folder of the versions; made where it is missing.
        version: Number of the version, at least 1; None is the next free one.
        preprocessing: The model's preprocessing; default ImageNet's at the model's size.
        top: Number of classes in an answer, the most probable ones, from 1 up to all; default 5,
            or all where there are fewer.
        warm_up_batches: Batch sizes of the warm-up requests, each at least 1.

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
    top, batches = min(_TOP, len(class_names)) if top is None else top, tuple(warm_up_batches)
    check(1 <= top <= len(class_names), "top", top, f"1 to {len(class_names)}")
    check(all(size >= 1 for size in batches), "warm_up_batches", batches, "at least 1 each")
    check_version(Path(folder), version)
    with tempfile.TemporaryDirectory() as scratch:
        labels = Path(scratch) / LABELS_NAME
        write_labels(labels, class_names)
        classifier = Classifier(model, class_names, labels, preprocessing, top)
        with new_version(Path(folder), version) as (part, target):
            try:
                tf.saved_model.save(classifier, os.fspath(part), classifier.signatures())
                _write_warm_up(part, preprocessing.size, batches)
            except tf.errors.OpError as error:  # TensorFlow's own of a full disk
                raise OSError(error.message) from error
    _log.info("%s: SavedModel written, %d classes", target, len(class_names))
    return target


def load_saved_model(folder: str | os.PathLike) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Loads a SavedModel that `export_saved_model` wrote.

    Args:
        folder: The folder of a version. A SavedModel is a program: load only what you trust.

    Returns:
        A function of (B, H, W, 3) RGB images in 0..255 that gives the outputs of
        `Classifier.classify_images` as arrays.
    """
    loaded = tf.saved_model.load(os.fspath(folder))

    def classify(images: np.ndarray) -> dict[str, np.ndarray]:
        # Looked up here, so that the function keeps the variables alive.
        signature = loaded.signatures["serving_default"]
        outputs = signature(image=tf.constant(images, tf.float32))
        return {name: value.numpy() for name, value in outputs.items()}

    return classify
