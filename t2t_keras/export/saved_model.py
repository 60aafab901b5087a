"""A model as a TensorFlow SavedModel that takes images as they come, for TF Serving."""

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

from t2t_keras.errors import ExportError
from t2t_keras.export.classifier import Classifier, check_classifier
from t2t_keras.export.preprocessing import Preprocessing
from t2t_keras.files import atomic_path, locked, remove_leftovers
from t2t_keras.images.resize import Size

_LOCKED = ".export"  # what stands for "an export into this folder"


def next_version(folder: Path) -> int:
    """The lowest version above all in `folder`, which need not exist; 1 where there is none."""
    names = os.listdir(folder) if folder.is_dir() else []
    return max((int(name) for name in names if name.isascii() and name.isdecimal()), default=0) + 1


@contextlib.contextmanager
def new_version(folder: Path, version: int | None) -> Iterator[tuple[Path, Path]]:
    """A place to write a version in; it gets its number when the block ends well.

    Exports into one folder wait for each other. What a killed one left of this version is removed.

    Args:
        folder: Made where it is missing.
        version: At least 1; None is the next free one.

    Yields:
        The path to write to, and the one it will have.

    Raises:
        ExportError: The version exists already, or the folder cannot be written to.
        ValueError: `version` is below 1.
    """
    if version is not None and version < 1:
        raise ValueError(f"`version` must be at least 1. Received: version={version}")
    refuse_existing(folder, version)
    target = folder / (str(version) if version is not None else "VERSION")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / _LOCKED) as held:
            refuse_existing(folder, version)  # another export may have come before
            target = folder / str(next_version(folder) if version is None else version)
            if held:
                remove_leftovers(target)
            with atomic_path(target) as part:
                yield part, target
    except OSError as error:
        raise ExportError(
            f"{target}: cannot be written ({error}). Nothing is left there: make room, or export "
            "to another folder."
        ) from error


def refuse_existing(folder: Path, version: int | None) -> None:
    """Raises an ExportError where that version is there already."""
    if version is not None and (folder / str(version)).exists():
        raise ExportError(
            f"{folder / str(version)}: exists already, and a version never changes. Export to "
            f"another version; {next_version(folder)} is free."
        )


PLACE = Path("assets.extra") / "tf_serving_warmup_requests"

_LENGTH_DELIMITED = 2
# The numbers of fields: tensorflow_serving/apis/prediction_log.proto, predict.proto, model.proto.
_PREDICT_LOG, _REQUEST = 6, 1
_MODEL_SPEC, _INPUTS = 1, 2
_SIGNATURE_NAME = 3
_KEY, _VALUE = 1, 2


Request = tuple[str, Mapping[str, Any]]


def write_warm_up(folder: Path, requests: Iterable[Request]) -> None:
    """Writes the requests into a SavedModel.

    Args:
        folder: Of the SavedModel.
        requests: Of each, the signature's name and its inputs, each a `TensorProto` under its name.
            TensorFlow Serving takes 1000 requests.
    """
    path = folder / PLACE
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests:
            writer.write(_prediction_log(signature, inputs))


def _prediction_log(signature: str, inputs: Mapping[str, Any]) -> bytes:
    request = _field(_MODEL_SPEC, _field(_SIGNATURE_NAME, signature.encode()))
    for name, tensor in inputs.items():
        entry = _field(_KEY, name.encode()) + _field(_VALUE, tensor.SerializeToString())
        request += _field(_INPUTS, entry)
    return _field(_PREDICT_LOG, _field(_REQUEST, request))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


LABELS_NAME = "labels.txt"
WARM_UP_BATCHES = (1, 8)
_TOP = 5
_GRAY = 127

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
        warm_up_batches: Numbers of images of the requests to warm up with, each at least 1.

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
            "`warm_up_batches` must be numbers of images, each at least 1. "
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
    """Of each signature and batch size one; a gray image costs a few bytes."""
    file = tf.io.encode_jpeg(tf.fill((*size, 3), tf.constant(_GRAY, tf.uint8))).numpy()
    for count in batches:
        gray = tf.make_tensor_proto(float(_GRAY), tf.float32, (count, *size, 3))
        yield "serving_default", {"image": gray}
        yield "serving_image_bytes", {"image_bytes": tf.make_tensor_proto([file] * count)}
        yield "features", {"image": gray}


def load_saved_model(folder: str | os.PathLike) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Loads what `export_saved_model` wrote.

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
