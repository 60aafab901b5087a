"""A classifier of any kind, ready for images: its names, its reading and its scores."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from t2t_keras.cli.models import OpenedModel, open_model, read_labels
from t2t_keras.cli.settings import MODEL_NAME
from t2t_keras.data import normalize
from t2t_keras.errors import CheckpointError
from t2t_keras.export import load_saved_model
from t2t_keras.export.saved_model import LABELS_NAME
from t2t_keras.images import load_image, read_rgb
from t2t_keras.images.constants import STATISTICS
from t2t_keras.models.structure import HEAD
from t2t_keras.weights.keras_file import FILE_ERRORS


@dataclasses.dataclass(frozen=True, eq=False)
class Classifier:
    """What images are put to.

    Args:
        class_names: In the order of the scores.
        read: A file -> (H, W, 3) uint8; a DataError where it is no image.
        probabilities: Images as `read` makes them -> (N, C).
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
    """Loads a model to classify with.

    Args:
        source: A SavedModel or the folder above its versions, or what `open_model` takes.
        labels: A file with a class name a line; None takes what is known of the model.
        num_heads: Attention heads of an official checkpoint of sizes nobody published.
        crop_pct: Fraction of the resized side that the crop keeps, in (0, 1]; None takes what is
            known of the model.
        statistics: Whose channel means and deviations images are normalized by, a name in
            `STATISTICS`; None takes what is known of the model.

    Raises:
        CheckpointError: The model is damaged or no classifier.
        ValueError: There is no such model, or an argument does not fit it.
    """
    prepared = {"crop_pct": crop_pct, "statistics": statistics}
    given = {name: value for name, value in prepared.items() if value is not None}
    if not (Path(source) / MODEL_NAME).is_file():
        if (version := _saved_model(Path(source))) is not None:
            if given:
                flags = " ".join(f"--{name}={value}" for name, value in given.items())
                raise ValueError(
                    "--crop_pct and --statistics must be left out with a SavedModel, which "
                    f"prepares its images itself. Received: MODEL={source} {flags}"
                )
            return _of_saved_model(version, labels)
    opened = open_model(source, labels=labels, num_heads=num_heads)
    card = dataclasses.replace(opened.card, **given)
    return _of_model(dataclasses.replace(opened, card=card), source)


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
    head = keras.Model(model.input, model.get_layer(HEAD).output)

    def probabilities(images: list[np.ndarray]) -> np.ndarray:
        pixels = normalize(np.stack(images), *STATISTICS[card.statistics])
        return _softmax(keras.ops.convert_to_numpy(head.predict_on_batch(pixels)))

    def read(file: str) -> np.ndarray:
        return load_image(file, opened.image_size, card.crop_pct)

    return Classifier(opened.class_names, read, probabilities)


def _of_saved_model(version: Path, labels: str | None) -> Classifier:
    classify, classes = _signature(version)
    names = read_labels(labels) or _names_in(version)
    if len(names) != classes:
        raise ValueError(
            f"--labels must name the {classes} classes of {version}, one a line. "
            f"Received: {len(names)} names"
        )

    def probabilities(images: list[np.ndarray]) -> np.ndarray:
        # One at a time: each has its own size.
        return _softmax(np.concatenate([classify(one[None])["logits"] for one in images]))

    return Classifier(names, read_rgb, probabilities)


def _signature(version: Path) -> tuple[Callable[[np.ndarray], dict[str, np.ndarray]], int]:
    """What a SavedModel does with a batch of images, and the number of its classes.

    Raises:
        CheckpointError: It is damaged, or none that this package writes.
    """
    try:
        classify = load_saved_model(version)
        _, classes = classify(np.zeros((1, 32, 32, 3), np.uint8))["logits"].shape
    except (tf.errors.OpError, *FILE_ERRORS) as error:
        raise CheckpointError(
            f"{version}: cannot be used: it is damaged, or no SavedModel that this package wrote. "
            f"Export the model again. ({type(error).__name__}: {str(error).strip()[:300]})"
        ) from error
    return classify, classes


def _names_in(version: Path) -> tuple[str, ...]:
    path = version / "assets" / LABELS_NAME
    if not path.is_file():
        raise CheckpointError(
            f"{path}: is missing. Give the classes' names with --labels=FILE, one a line, or "
            "export the model again."
        )
    return read_labels(str(path))


def _softmax(logits: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(keras.ops.softmax(logits.astype("float32")))
