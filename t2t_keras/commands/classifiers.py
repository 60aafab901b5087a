"""A classifier of any kind, ready for pictures: its names, its reading and its scores."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from t2t_keras.commands.opened_model import OpenedModel, open_model, read_labels
from t2t_keras.commands.settings import MODEL_NAME
from t2t_keras.data import normalise
from t2t_keras.errors import CheckpointError
from t2t_keras.export import load_saved_model
from t2t_keras.export.saved_model import LABELS_NAME
from t2t_keras.images import load_image, read_rgb
from t2t_keras.images.constants import STATISTICS


@dataclasses.dataclass(frozen=True, eq=False)
class Classifier:
    """What pictures are put to.

    Args:
        class_names: In the order of the scores.
        read: A file -> (H, W, 3) uint8; a DataError where it is no picture.
        probabilities: Pictures as `read` makes them -> (N, C).
    """

    class_names: tuple[str, ...]
    read: Callable[[str], np.ndarray]
    probabilities: Callable[[list[np.ndarray]], np.ndarray]


def open_classifier(
    source: str, labels: str | None = None, num_heads: int | None = None
) -> Classifier:
    """Loads a model to classify with.

    Args:
        source: A SavedModel or the folder above its versions, or what `open_model` takes.
        labels: A file with a class name a line; None takes what is known of the model.
        num_heads: Attention heads of an official checkpoint of sizes nobody published.

    Raises:
        CheckpointError: The model is damaged or no classifier.
        ValueError: There is no such model, or `labels` does not fit it.
    """
    if not (Path(source) / MODEL_NAME).is_file():
        if (version := _saved_model(Path(source))) is not None:
            return _of_saved_model(version, labels)
    return _of_model(open_model(source, labels=labels, num_heads=num_heads), source)


def _saved_model(place: Path) -> Path | None:
    """The folder of a SavedModel: `place`, or its highest version."""
    if (place / "saved_model.pb").is_file():
        return place
    versions = [path.parent for path in place.glob("*/saved_model.pb") if _number(path.parent)]
    return max(versions, key=_number, default=None)


def _number(folder: Path) -> int:
    return int(folder.name) if folder.name.isascii() and folder.name.isdecimal() else 0


def _of_model(opened: OpenedModel, source: str) -> Classifier:
    model, card = opened.model, opened.card
    if not opened.class_names:
        raise CheckpointError(
            f"{source}: holds no classifier of this package. Give a model with one (include_top)."
        )
    head = keras.Model(model.input, model.get_layer("head").output)

    def probabilities(pictures: list[np.ndarray]) -> np.ndarray:
        pixels = normalise(np.stack(pictures), *STATISTICS[card.statistics])
        return _softmax(keras.ops.convert_to_numpy(head.predict_on_batch(pixels)))

    def read(file: str) -> np.ndarray:
        return load_image(file, opened.image_size, card.crop_pct)

    return Classifier(opened.class_names, read, probabilities)


def _of_saved_model(version: Path, labels: str | None) -> Classifier:
    classify = load_saved_model(version)

    def logits(picture: np.ndarray) -> np.ndarray:
        return classify(picture[None])["logits"]

    classes = logits(np.zeros((32, 32, 3), np.uint8)).shape[-1]
    names = read_labels(labels or str(version / "assets" / LABELS_NAME))
    if len(names) != classes:
        raise ValueError(
            f"--labels must name the {classes} classes of {version}, one a line. "
            f"Received: {len(names)} names"
        )
    return Classifier(
        names, read_rgb, lambda pictures: _softmax(np.concatenate(list(map(logits, pictures))))
    )


def _softmax(logits: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(keras.ops.softmax(logits.astype("float32")))
