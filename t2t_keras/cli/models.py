"""The MODEL of a command, opened: a run, a file, or a variant with its released weights."""

import dataclasses
from pathlib import Path
from typing import Any

import keras

from t2t_keras.errors import CheckpointError, DataError, check
from t2t_keras.export import Preprocessing
from t2t_keras.export.saved_model import LABELS_NAME
from t2t_keras.images import imagenet_labels
from t2t_keras.images.constants import STATISTICS
from t2t_keras.images.labels import CIFAR10_LABELS, CIFAR100_LABELS
from t2t_keras.images.resize import Size
from t2t_keras.models.structure import HEAD
from t2t_keras.training.recipes import model_names, variant_of
from t2t_keras.variants import published_name
from t2t_keras.weights.convert import classifier, model_of
from t2t_keras.weights.formats import FILE_ERRORS, ModelMetadata, read_metadata
from t2t_keras.weights.load import OFFICIAL_SUFFIXES, check_weights, load_weights
from t2t_keras.weights.releases import Release, imagenet_release, release_named
from t2t_keras.weights.state_dict import state_dict_of
from t2t_keras.weights.torch_reader import read_torch_checkpoint

METRICS_NAME = "metrics.json"  # of a finished run
MODEL_NAME = "model.keras"
_ANY_SIZE = (224, 224)  # of the images for a model that takes any
_LABELS_BY_TAG = {"cifar10": CIFAR10_LABELS, "cifar100": CIFAR100_LABELS}

Names = tuple[str, ...]


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
        mean, std = STATISTICS[self.metadata.statistics]
        return Preprocessing(crop_pct=self.metadata.crop_pct, mean=mean, std=std)


def open_model(
    source: str,
    *,
    model: str | None = None,
    weights: str | None = None,
    labels: str | None = None,
    image_size: Size | None = None,
    num_heads: int | None = None,
    crop_pct: float | None = None,
    statistics: str | None = None,
) -> OpenedModel:
    """Opens a run's folder, a `.keras` file, a file of weights, or a variant's released weights.

    The arguments are those of the flags. With `model`, the variant of a file of weights, the arrays
    of a `.keras` file are read, never its architecture.
    """
    path, names = Path(source), read_labels(labels)
    if (path / MODEL_NAME).is_file():
        path = path / MODEL_NAME
    is_variant = not path.is_file() and source in model_names()
    expected = "left out unless MODEL is the name of a variant, such as t2t_vit_14"
    check(is_variant or weights is None, "weights", weights, expected)
    if is_variant:
        opened = _of_variant(source, weights or "imagenet", names, image_size)
    elif not path.is_file():
        raise ValueError(
            "MODEL must be a run's folder, a .keras file, a file of weights, or one of "
            f"{', '.join(model_names())}. Received: MODEL={source}"
        )
    elif model is None and path.suffix == ".keras":
        opened = _of_keras_file(path, names)
    elif model is None and image_size is None and path.name.endswith(OFFICIAL_SUFFIXES):
        opened = _of_checkpoint(path, names, num_heads)
    else:
        opened = _of_variant(_variant_name(path, model), str(path), names, image_size)
    colors: dict[str, Any] = {"crop_pct": crop_pct, "statistics": statistics}
    given = {name: value for name, value in colors.items() if value is not None}
    return dataclasses.replace(opened, metadata=dataclasses.replace(opened.metadata, **given))


def read_labels(path: str | None) -> Names:
    """Reads a file with one class name per line; without a file there are no names."""
    if path is None:
        return ()
    mend = "Give a text file with one class name per line."
    try:
        names = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}). {mend}") from error
    if not names:
        raise DataError(f"{path}: is empty. {mend}")
    return tuple(names)


def check_names(names: Names, classes: int, source: str | Path) -> None:
    """Raises a ValueError unless there are as many class names as classes."""
    if len(names) != classes:
        raise ValueError(
            f"`labels` must name the {classes} classes of {source}, one per line. "
            f"Received: {len(names)} names"
        )


def _of_keras_file(path: Path, names: Names) -> OpenedModel:
    try:
        model = keras.saving.load_model(path, compile=False)
    except FILE_ERRORS as error:
        raise CheckpointError(
            f"{path}: cannot be loaded: it is damaged, or no model of this package. Write or "
            f"download it again. ({str(error).strip()[:300]})"
        ) from error
    of_run = path.name == MODEL_NAME and (path.parent / METRICS_NAME).is_file()
    metadata = read_metadata(path) or ModelMetadata(())
    return _opened(model, metadata, names, path, path.parent if of_run else None)


def _of_checkpoint(path: Path, names: Names, num_heads: int | None) -> OpenedModel:
    state = state_dict_of(read_torch_checkpoint(path), "auto", str(path))
    model = model_of(state, str(path), num_heads).model
    return _opened(model, _metadata_of(release_named(path.name)), names, path)


def _of_variant(name: str, weights: str, names: Names, image_size: Size | None) -> OpenedModel:
    variant = variant_of(name)
    published = published_name(variant)
    check_weights(weights, published)
    release: Release | None
    if weights == "imagenet":
        release = imagenet_release(published or name, image_size or (variant.image_size,) * 2)
    else:
        release = release_named(Path(weights).name)
    size = image_size or (release.image_size if release else variant.image_size,) * 2
    metadata = _metadata_of(release)
    names = names or metadata.class_names or _names_beside(Path(weights))
    count = len(names or imagenet_labels())
    model = classifier(variant, count, size, name)
    if load_weights(model, weights, variant, published).fresh:
        raise CheckpointError(
            f"{weights}: has no classifier for {count} classes. Give its class names as `labels`, "
            "a file with one per line."
        )
    return _opened(model, metadata, names, Path(weights))


def _opened(
    model: keras.Model, metadata: ModelMetadata, names: Names, path: Path, run: Path | None = None
) -> OpenedModel:
    """Finds the class names: as given, as the model has them, beside it, or ImageNet's."""
    count = _class_count(model)
    known = names or metadata.class_names or _names_beside(path)
    if not known and count == len(imagenet_labels()):
        known = tuple(name for _, name in imagenet_labels())
    if known:
        check_names(known, count, path)
    return OpenedModel(model, dataclasses.replace(metadata, class_names=known), run)


def _names_beside(path: Path) -> Names:
    """Reads the labels in a file's folder, if any; "imagenet" is no file."""
    beside = path.with_name(LABELS_NAME)
    return read_labels(str(beside)) if path.is_file() and beside.is_file() else ()


def _class_count(model: keras.Model) -> int:
    return next((layer.units for layer in model.layers if layer.name == HEAD), 0)


def _variant_name(path: Path, model: str | None) -> str:
    if model is not None:
        return model
    if (release := release_named(path.name)) is None:
        raise ValueError(
            f"--model must name the variant whose weights are in {path}, such as t2t_vit_14. "
            "Received: --model="
        )
    return release.variant


def _metadata_of(release: Release | None) -> ModelMetadata:
    """Returns what a release was evaluated with; the default where the weights are no release."""
    if release is None:
        return ModelMetadata(())
    names = _LABELS_BY_TAG.get(release.tag, ())
    return ModelMetadata(names, release.crop_pct, release.statistics)
