"""The MODEL or WEIGHTS of a command: a run, a file, or a variant with its released weights."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import keras

from t2t_keras.cli.flags import check_colors_given
from t2t_keras.errors import CheckpointError, DataError, check
from t2t_keras.export import Preprocessing
from t2t_keras.export.saved_model import LABELS_NAME
from t2t_keras.files import require_regular
from t2t_keras.images import imagenet_labels
from t2t_keras.images.constants import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    STATISTICS,
    Color,
    check_colors,
)
from t2t_keras.images.labels import CIFAR10_LABELS, CIFAR100_LABELS
from t2t_keras.images.resize import Size
from t2t_keras.models.structure import HEAD
from t2t_keras.training.recipes import model_names, variant_of
from t2t_keras.variants import published_name
from t2t_keras.weights.convert import classifier, model_of
from t2t_keras.weights.formats import FILE_ERRORS, ModelMetadata, read_metadata
from t2t_keras.weights.load import (
    OFFICIAL_SUFFIXES,
    check_weights,
    check_weights_key,
    load_weights,
    weights_in,
)
from t2t_keras.weights.releases import Release, imagenet_release, release_named
from t2t_keras.weights.state_dict import state_dict_of
from t2t_keras.weights.torch_reader import read_torch_checkpoint

METRICS_NAME = "metrics.json"  # of a finished run
MODEL_NAME = "model.keras"
_ANY_SIZE = (224, 224)  # of the images for a model that takes any
_LABELS_BY_TAG = {"cifar10": CIFAR10_LABELS, "cifar100": CIFAR100_LABELS}

Names = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Origin:
    """A file of weights and what is known of it without its arrays."""

    path: Path
    release: Release | None  # None unless it is the authors'
    metadata: ModelMetadata | None
    run: Path | None  # folder of the finished run that wrote it

    def settings(self) -> dict[str, Any]:
        """Returns what its run, release or metadata says of a run's settings."""
        if self.run is not None:
            return _run_settings(self.run / METRICS_NAME)
        known = {} if self.metadata is None else dict(vars(self.metadata))
        if self.release is not None:
            size = (self.release.image_size,) * 2
            known |= {"model": self.release.variant, "image_size": size}
        return known


def _run_settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))["settings"]
        lists = {name: tuple(each) for name, each in settings.items() if isinstance(each, list)}
        return {**settings, **lists}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{path}: is not what a run writes ({error}). Remove it and give `model` and "
            "`image_size`."
        ) from error


def origin_of(source: str) -> Origin:
    """Recognizes a run's folder, its model, a release by its name, or a file with metadata."""
    path = _model_file(source)
    release, metadata = release_named(path.name), None
    if release is not None:
        names = _LABELS_BY_TAG.get(release.tag, ())
        metadata = ModelMetadata(names, release.crop_pct, *STATISTICS[release.statistics])
    elif path.suffix == ".keras" and path.is_file():
        metadata = read_metadata(path)
    of_run = path.name == MODEL_NAME and (path.parent / METRICS_NAME).is_file()
    return Origin(path, release, metadata, path.parent if of_run else None)


def weights_file(weights: str | None) -> str | None:
    """Returns the model file of a run's folder; another file, "imagenet" and None as they are."""
    if weights is None or weights == "imagenet":
        return weights
    path = _model_file(weights)
    expected = "imagenet, an existing file of weights or a run's folder"
    check(path.is_file(), "weights", weights, expected)
    return str(path)


def _model_file(source: str) -> Path:
    path = Path(source)
    return path / MODEL_NAME if (path / MODEL_NAME).is_file() else path


@dataclasses.dataclass(frozen=True, eq=False)
class OpenedModel:
    """A model with its metadata, without names where they are unknown, and the run it is from."""

    model: keras.Model
    metadata: ModelMetadata
    folder: Path | None = None

    @property
    def image_size(self) -> Size:
        """(height, width) in pixels of the images it takes."""
        height, width = self.model.input_shape[1:3]
        return height or _ANY_SIZE[0], width or _ANY_SIZE[1]

    @property
    def class_names(self) -> Names:
        """One name for each class; numbers where the names are unknown."""
        return self.metadata.class_names or tuple(
            f"class {number}" for number in range(_class_count(self.model))
        )

    @property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing of its images, as an export takes it."""
        metadata = self.metadata
        return Preprocessing(crop_pct=metadata.crop_pct, mean=metadata.mean, std=metadata.std)


def open_model(
    source: str,
    *,
    model: str | None = None,
    weights: str | None = None,
    labels: str | None = None,
    image_size: Size | None = None,
    num_heads: int | None = None,
    weights_key: str | None = None,
    crop_pct: float | None = None,
    statistics: str | None = None,
    mean: Color | None = None,
    std: Color | None = None,
) -> OpenedModel:
    """Opens what MODEL names, by the flags of these names.

    With `model` the arrays of a `.keras` file are read, never its architecture.
    """
    check_colors_given(statistics, mean, std)
    if statistics:
        mean, std = STATISTICS[statistics]
    check_colors(mean or IMAGENET_MEAN, std or IMAGENET_STD)
    origin, names = origin_of(source), read_labels(labels)
    path, is_file = origin.path, origin.path.is_file()
    known = is_file or source in model_names()
    expected = "a run's folder, a .keras file, a file of weights, or one of "
    check(known, "model", source, expected + ", ".join(model_names()))
    expected = "left out unless MODEL is the name of a variant, such as t2t_vit_14"
    check(not is_file or weights is None, "weights", weights, expected)
    key = "auto" if weights_key is None else weights_key
    check_weights_key(path if is_file else weights, key)
    if not is_file:
        opened = _of_variant(source, weights or "imagenet", names, image_size, key)
    elif model is None and path.suffix == ".keras":
        opened = _of_keras_file(origin, names)
    elif model is None and image_size is None and path.name.endswith(OFFICIAL_SUFFIXES):
        state = state_dict_of(read_torch_checkpoint(path), key, str(path))
        opened = _opened(model_of(state, str(path), num_heads).model, origin, names)
    else:
        name = model or (origin.release.variant if origin.release else "")
        expected = f"the variant whose weights are in {path}, such as t2t_vit_14"
        check(bool(name), "model_name", model, expected)
        opened = _of_variant(name, str(path), names, image_size, key)
    colors: dict[str, Any] = {"crop_pct": crop_pct, "mean": mean, "std": std}
    given = {name: value for name, value in colors.items() if value is not None}
    return dataclasses.replace(opened, metadata=dataclasses.replace(opened.metadata, **given))


def read_labels(path: str | None) -> Names:
    """Reads a file with one class name per line; without a file there are no names."""
    if path is None:
        return ()
    mend = "Give a text file with one class name per line."
    try:
        require_regular(path)
        names = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}). {mend}") from error
    if not names:
        raise DataError(f"{path}: is empty. {mend}")
    return tuple(names)


def check_names(names: Names, classes: int, source: str | Path) -> None:
    """Raises a ValueError unless there are as many class names as classes."""
    expected = f"the names of the {classes} classes of {source}, one per line"
    check(len(names) == classes, "labels", f"{len(names)} names", expected)


def _of_keras_file(origin: Origin, names: Names) -> OpenedModel:
    try:
        weights_in(origin.path)  # Keras reads on after a wrong checksum
        model = keras.saving.load_model(origin.path, compile=False)
    except FILE_ERRORS as error:
        raise CheckpointError(
            f"{origin.path}: cannot be loaded: it is damaged, or no model of this package. Write "
            f"or download it again. ({str(error).strip()[:300]})"
        ) from error
    return _opened(model, origin, names)


def _of_variant(
    name: str, weights: str, names: Names, image_size: Size | None, key: str
) -> OpenedModel:
    variant = variant_of(name)
    published = published_name(variant)
    check_weights(weights, published)
    own_size, file = (variant.image_size,) * 2, weights
    if weights == "imagenet":
        file = imagenet_release(published or name, image_size or own_size).filename
    origin = dataclasses.replace(origin_of(file), path=Path(weights))
    size = image_size or ((origin.release.image_size,) * 2 if origin.release else own_size)
    count = len(class_names_of(origin, names) or imagenet_labels())
    model = classifier(variant, count, size, name)
    if load_weights(model, weights, variant, published, key).fresh:
        raise CheckpointError(
            f"{weights}: has no classifier for {count} classes. Give its class names as `labels`, "
            "a file with one per line."
        )
    return _opened(model, origin, names)


def _opened(model: keras.Model, origin: Origin, names: Names) -> OpenedModel:
    count, known = _class_count(model), class_names_of(origin, names)
    if not known and count == len(imagenet_labels()):
        known = tuple(name for _, name in imagenet_labels())
    if known:
        check_names(known, count, origin.path)
    metadata = origin.metadata or ModelMetadata(())
    return OpenedModel(model, dataclasses.replace(metadata, class_names=known), origin.run)


def class_names_of(origin: Origin, names: Names) -> Names:
    """Returns the class names as given, as the file has them, or as a file beside it has them."""
    if known := names or (origin.metadata.class_names if origin.metadata else ()):
        return known
    beside = origin.path.with_name(LABELS_NAME)
    return read_labels(str(beside)) if origin.path.is_file() and beside.is_file() else ()


def _class_count(model: keras.Model) -> int:
    return next((layer.units for layer in model.layers if layer.name == HEAD), 0)
