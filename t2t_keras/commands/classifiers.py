"""A classifier of any kind, ready for pictures: its names, its reading and its scores."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

from t2t_keras.commands.settings import MODEL_NAME, class_names_of
from t2t_keras.data import normalise
from t2t_keras.errors import CheckpointError
from t2t_keras.export import load_saved_model
from t2t_keras.export.saved_model import LABELS_NAME
from t2t_keras.images import imagenet_labels, load_image, read_rgb
from t2t_keras.images.cifar_labels import CIFAR10_LABELS, CIFAR100_LABELS
from t2t_keras.images.constants import STATISTICS
from t2t_keras.weights.catalogue import release_named
from t2t_keras.weights.checkpoint import state_dict_of
from t2t_keras.weights.convert import model_of
from t2t_keras.weights.model_card import ModelCard, read_card
from t2t_keras.weights.torch_file import read_torch_checkpoint

_OFFICIAL = (".pth", ".pth.tar", ".pt")
_FREE_SIZE = 224  # pixels a side, for a model that takes any
_BY_TAG = {"cifar10": CIFAR10_LABELS, "cifar100": CIFAR100_LABELS}


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
    path: str, labels: str | None = None, num_heads: int | None = None
) -> Classifier:
    """Loads a model to classify with.

    Args:
        path: A `.keras` file, a SavedModel or the folder above its versions, a run's folder, or an
            official `.pth` or `.pth.tar` checkpoint.
        labels: A file with a class name a line; None takes what is known of the model.
        num_heads: Attention heads of an official checkpoint of sizes nobody published.

    Raises:
        CheckpointError: The model is damaged or no classifier.
        ValueError: There is no such model, or `labels` does not fit it.
    """
    place = Path(path)
    if (place / MODEL_NAME).is_file():
        place = place / MODEL_NAME
    if (version := _saved_model(place)) is not None:
        return _of_saved_model(version, labels)
    if place.is_file() and place.name.endswith(_OFFICIAL):
        model, card = _official_model(place, num_heads), _card_of_release(place)
    elif place.is_file() and place.suffix == ".keras":
        model, card = _keras_model(place), read_card(place)
    else:
        raise ValueError(
            "MODEL must be an existing .keras file, SavedModel, run's folder, or official "
            f"{', '.join(_OFFICIAL)} checkpoint. Received: {path}"
        )
    card = card or ModelCard(tuple(class_names_of(os.fspath(place)) or ()))
    return _of_keras(model, card, place, labels)


def _saved_model(place: Path) -> Path | None:
    """The folder of a SavedModel: `place`, or its highest version."""
    if (place / "saved_model.pb").is_file():
        return place
    versions = [path.parent for path in place.glob("*/saved_model.pb") if _number(path.parent)]
    return max(versions, key=_number, default=None)


def _number(folder: Path) -> int:
    return int(folder.name) if folder.name.isascii() and folder.name.isdecimal() else 0


def _keras_model(path: Path) -> keras.Model:
    try:
        return keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: cannot be loaded ({error}). Write it again.") from error


def _official_model(path: Path, num_heads: int | None) -> keras.Model:
    source = os.fspath(path)
    state = state_dict_of(read_torch_checkpoint(path), "auto", source)
    return model_of(state, source, num_heads).model


def _card_of_release(path: Path) -> ModelCard | None:
    release = release_named(path.name)
    if release is None:
        return None
    return ModelCard(_BY_TAG.get(release.tag, ()), release.crop_pct, release.statistics)


def _of_keras(model: keras.Model, card: ModelCard, place: Path, labels: str | None) -> Classifier:
    if "head" not in [layer.name for layer in model.layers]:
        raise CheckpointError(
            f"{place}: holds no classifier of this package. Give a model with one (include_top)."
        )
    size = tuple(side or _FREE_SIZE for side in model.input_shape[1:3])
    head = keras.Model(model.input, model.get_layer("head").output)
    names = _names(card.class_names, head.output_shape[-1], place, labels)

    def probabilities(pictures: list[np.ndarray]) -> np.ndarray:
        logits = head.predict_on_batch(normalise(np.stack(pictures), *STATISTICS[card.statistics]))
        return np.asarray(keras.ops.softmax(keras.ops.cast(logits, "float32")))

    return Classifier(names, lambda file: load_image(file, size, card.crop_pct), probabilities)


def _of_saved_model(version: Path, labels: str | None) -> Classifier:
    classify = load_saved_model(version)
    kept = version / "assets" / LABELS_NAME
    known = kept.read_text("utf-8").splitlines() if kept.is_file() else []

    def probabilities(pictures: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([classify(picture[None])["probabilities"] for picture in pictures])

    classes = probabilities([np.zeros((32, 32, 3), np.uint8)]).shape[-1]
    return Classifier(_names(known, classes, version, labels), read_rgb, probabilities)


def _names(known: Sequence[str], classes: int, place: Path, labels: str | None) -> tuple[str, ...]:
    """The classes' names: as asked for, as the model says, from beside it, ImageNet's, numbers."""
    beside = place.with_name(LABELS_NAME)
    if labels is not None or (not known and beside.is_file()):
        source = Path(labels) if labels is not None else beside
        known = source.read_text("utf-8").splitlines()
        if len(known) != classes:
            raise ValueError(
                f"`labels` must hold a name a line for the model's {classes} classes. Received: "
                f"{source} with {len(known)}"
            )
    if len(known) == classes:
        return tuple(known)
    if classes == len(imagenet_labels()):
        return tuple(name for _, name in imagenet_labels())
    return tuple(f"class {number}" for number in range(classes))
