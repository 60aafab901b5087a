"""A classifier of any kind, ready for images: its class names, its preprocessing and its scores."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from t2t_keras.cli.models import MODEL_NAME, OpenedModel, open_model, read_labels
from t2t_keras.data.ops.color import normalize
from t2t_keras.errors import CheckpointError
from t2t_keras.export import load_saved_model
from t2t_keras.export.saved_model import LABELS_NAME
from t2t_keras.images import load_image, read_rgb
from t2t_keras.images.constants import STATISTICS
from t2t_keras.models.structure import HEAD
from t2t_keras.weights.formats import FILE_ERRORS


@dataclasses.dataclass(frozen=True, eq=False)
class Classifier:
    """A model as `predict` needs it.

    Args:
        class_names: The names, in the order of the scores.
        read: A file -> (H, W, 3) uint8; raises a DataError where it is no image.
        probabilities: Images as `read` returns them -> (N, C).
    """

    class_names: tuple[str, ...]
    read: Callable[[str], np.ndarray]
    probabilities: Callable[[list[np.ndarray]], np.ndarray]


def open_classifier(
    source: str,
    labels: str | None = None,
    num_heads: int | None = None,
    crop_pct: float | None = None,
    statistics: str | None = None,
) -> Classifier:
    """Opens a SavedModel, the folder of its versions, or what `open_model` takes."""
    given = {"crop_pct": crop_pct, "statistics": statistics}
    if (Path(source) / MODEL_NAME).is_file() or (version := _saved_model(Path(source))) is None:
        return _of_model(open_model(source, labels=labels, num_heads=num_heads, **given), source)
    if received := ", ".join(f"{name}={value}" for name, value in given.items() if value):
        raise ValueError(
            "`crop_pct` and `statistics` must be left out with a SavedModel, which prepares its "
            f"images itself. Received: {received}, MODEL={source}"
        )
    return _of_saved_model(version, labels)


def _saved_model(folder: Path) -> Path | None:
    """Returns the folder of a SavedModel: `folder`, or its highest version."""
    if (folder / "saved_model.pb").is_file():
        return folder
    versions = [path.parent for path in folder.glob("*/saved_model.pb")]
    numbered = [path for path in versions if path.name.isascii() and path.name.isdecimal()]
    return max(numbered, key=lambda path: int(path.name), default=None)


def _of_model(opened: OpenedModel, source: str) -> Classifier:
    model, metadata = opened.model, opened.metadata
    if not opened.class_names:
        raise CheckpointError(
            f"{source}: holds no classifier of this package. Give a model with one (include_top)."
        )
    head = keras.Model(model.input, model.get_layer(HEAD).output)

    def probabilities(images: list[np.ndarray]) -> np.ndarray:
        pixels = normalize(np.stack(images), *STATISTICS[metadata.statistics])
        return _softmax(keras.ops.convert_to_numpy(head.predict_on_batch(pixels)))

    def read(file: str) -> np.ndarray:
        return load_image(file, opened.image_size, metadata.crop_pct)

    return Classifier(opened.class_names, read, probabilities)


def _of_saved_model(version: Path, labels: str | None) -> Classifier:
    try:
        classify = load_saved_model(version)
        _, classes = classify(np.zeros((1, 32, 32, 3), np.uint8))["logits"].shape
    except (tf.errors.OpError, *FILE_ERRORS) as error:
        raise CheckpointError(
            f"{version}: cannot be used: it is damaged, or no SavedModel that this package wrote. "
            f"Export the model again. ({type(error).__name__}: {str(error).strip()[:300]})"
        ) from error
    kept = version / "assets" / LABELS_NAME
    if labels is None and not kept.is_file():
        raise CheckpointError(
            f"{kept}: is missing. Give the class names as `labels`, a file with one a line, or "
            "export the model again."
        )
    names = read_labels(labels or str(kept))
    if len(names) != classes:
        raise ValueError(
            f"`labels` must name the {classes} classes of {version}, one a line. "
            f"Received: {len(names)} names"
        )

    def probabilities(images: list[np.ndarray]) -> np.ndarray:
        # One at a time: each has its own size.
        return _softmax(np.concatenate([classify(image[None])["logits"] for image in images]))

    return Classifier(names, read_rgb, probabilities)


def _softmax(logits: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(keras.ops.softmax(logits.astype("float32")))
