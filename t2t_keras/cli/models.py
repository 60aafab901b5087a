"""What stands behind the MODEL of a command: a run, a file, or a variant's released weights."""

import dataclasses
import os
from pathlib import Path

import keras

from t2t_keras.cli.settings import MODEL_NAME, OF_CARD, origin_of
from t2t_keras.errors import CheckpointError, DataError
from t2t_keras.export.saved_model import LABELS_NAME
from t2t_keras.images import imagenet_labels
from t2t_keras.images.labels import CIFAR10_LABELS, CIFAR100_LABELS
from t2t_keras.images.resize import Size
from t2t_keras.training.recipes import model_names, variant_of
from t2t_keras.variants import published_name
from t2t_keras.weights.convert import classifier, model_of
from t2t_keras.weights.formats import ModelMetadata, read_metadata
from t2t_keras.weights.keras_file import FILE_ERRORS
from t2t_keras.weights.load import OFFICIAL_SUFFIXES, check_weights, load_weights
from t2t_keras.weights.releases import Release, imagenet_release, release_named
from t2t_keras.weights.state_dict import state_dict_of
from t2t_keras.weights.torch_reader import read_torch_checkpoint

_FREE_SIZE = 224  # pixels a side, for a model that takes any
_BY_TAG = {"cifar10": CIFAR10_LABELS, "cifar100": CIFAR100_LABELS}

Names = tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class OpenedModel:
    """A model, and what is known of it.

    Args:
        model: Of this package.
        card: How its images are prepared, and its classes' names; without names where nobody
            knows them.
        folder: That of the run which made it, if one did.
    """

    model: keras.Model
    card: ModelMetadata
    folder: Path | None = None

    @property
    def image_size(self) -> Size:
        """(height, width) in pixels of the images it takes."""
        height, width = self.model.input_shape[1:3]
        return height or _FREE_SIZE, width or _FREE_SIZE

    @property
    def class_names(self) -> Names:
        """One for each class; numbers where the names are not known."""
        return self.card.class_names or tuple(
            f"class {number}" for number in range(_class_count(self.model))
        )


def open_model(
    source: str,
    *,
    model_name: str | None = None,
    weights: str | None = None,
    labels: str | None = None,
    image_size: Size | None = None,
    num_heads: int | None = None,
) -> OpenedModel:
    """Loads what MODEL stands for.

    Args:
        source: A run's folder, a `.keras` file, a file of weights, or a variant's name.
        model_name: The variant of a file of weights. With it the arrays of a `.keras` file are
            read, never its architecture.
        weights: Of a variant given by its name: "imagenet", which is the default, or a file.
        labels: A file with a class a line; default what is known of the model.
        image_size: (height, width) in pixels of a model that is built here.
        num_heads: Attention heads of an official checkpoint of sizes nobody published.

    Raises:
        CheckpointError: The file is damaged, or has no classifier for these classes.
        DataError: The file of labels, or what a run says of itself, cannot be read.
        DownloadError: Released weights cannot be fetched.
        ValueError: There is no such model, or it needs another flag.
    """
    path, names = Path(source), read_labels(labels)
    if (path / MODEL_NAME).is_file():
        path = path / MODEL_NAME
    if not path.is_file() and source in model_names():
        return _of_variant(source, weights or "imagenet", names, image_size)
    if weights is not None:
        raise ValueError(
            "--weights goes with a variant's name, such as t2t_vit_14, in place of a file. "
            f"Received: MODEL={source} --weights={weights}"
        )
    if not path.is_file():
        raise ValueError(
            "MODEL must be a run's folder, a .keras file, a file of weights, or one of "
            f"{', '.join(model_names())}. Received: MODEL={source}"
        )
    if model_name is None and path.suffix == ".keras":
        return _of_keras_file(path, names)
    if model_name is None and image_size is None and path.name.endswith(OFFICIAL_SUFFIXES):
        return _of_checkpoint(path, names, num_heads)
    return _of_variant(_variant_name(path, model_name), os.fspath(path), names, image_size)


def read_labels(path: str | None) -> Names:
    """The classes' names in a file, one a line; none without a file.

    Raises:
        DataError: The file cannot be read, or is empty.
    """
    if path is None:
        return ()
    try:
        names = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"--labels={path}: cannot be read ({error}). Give a text file with a class a line."
        ) from error
    if not names:
        raise DataError(f"--labels={path}: is empty. Give a text file with a class a line.")
    return tuple(names)


def _of_keras_file(path: Path, names: Names) -> OpenedModel:
    try:
        model = keras.saving.load_model(path, compile=False)
    except FILE_ERRORS as error:
        raise CheckpointError(
            f"{path}: cannot be loaded: it is damaged, or no model of this package. Write or "
            f"download it again. ({str(error).strip()[:300]})"
        ) from error
    origin = origin_of(os.fspath(path))
    card = read_metadata(path) or ModelMetadata(
        origin.class_names,
        **{name: said for name, said in origin.settings.items() if name in OF_CARD},
    )
    return _opened(model, card, names, path, path.parent if origin.of_run else None)


def _of_checkpoint(path: Path, names: Names, num_heads: int | None) -> OpenedModel:
    source = os.fspath(path)
    state = state_dict_of(read_torch_checkpoint(path), "auto", source)
    model = model_of(state, source, num_heads).model
    return _opened(model, _card_of(release_named(path.name)), names, path)


def _of_variant(name: str, weights: str, names: Names, image_size: Size | None) -> OpenedModel:
    variant = variant_of(name)
    published = published_name(variant)
    check_weights(weights, published)
    if weights == "imagenet":
        release = imagenet_release(published, image_size or (variant.image_size,) * 2)
    else:
        release = release_named(Path(weights).name)
    size = image_size or (release.image_size if release else variant.image_size,) * 2
    card = _card_of(release)
    names = names or card.class_names or _names_beside(Path(weights))
    count = len(names or imagenet_labels())
    model = classifier(variant, count, size, name)
    if load_weights(model, weights, variant, published).fresh:
        raise CheckpointError(
            f"{weights}: has no classifier for {count} classes. Give its classes' names with "
            "--labels=FILE, one a line."
        )
    return _opened(model, card, names, Path(weights))


def _opened(
    model: keras.Model, card: ModelMetadata, names: Names, path: Path, folder: Path | None = None
) -> OpenedModel:
    """Finds the classes' names: as asked for, as the model says, from beside it, or ImageNet's."""
    count = _class_count(model)
    known = names or card.class_names or _names_beside(path)
    if not known and count == len(imagenet_labels()):
        known = tuple(name for _, name in imagenet_labels())
    if known and len(known) != count:
        raise ValueError(
            f"--labels must name the {count} classes of {path}, one a line. "
            f"Received: {len(known)} names"
        )
    return OpenedModel(model, dataclasses.replace(card, class_names=known), folder)


def _names_beside(path: Path) -> Names:
    """Of a file that has labels in its folder; "imagenet" is no file."""
    beside = path.with_name(LABELS_NAME)
    return read_labels(str(beside)) if path.is_file() and beside.is_file() else ()


def _class_count(model: keras.Model) -> int:
    heads = [layer.units for layer in model.layers if layer.name == "head"]
    return heads[0] if heads else 0


def _variant_name(path: Path, model_name: str | None) -> str:
    release = release_named(path.name)
    if model_name is None and release is None:
        raise ValueError(
            f"--model must name the variant whose weights are in {path}, such as t2t_vit_14. "
            "Received: --model="
        )
    return model_name or release.variant


def _card_of(release: Release | None) -> ModelMetadata:
    """What a release was evaluated with; the default where the weights are no release."""
    if release is None:
        return ModelMetadata(())
    return ModelMetadata(_BY_TAG.get(release.tag, ()), release.crop_pct, release.statistics)
