"""What stands behind the MODEL of an export: a run, a file, or a variant's released weights."""

import dataclasses
from pathlib import Path

import keras

from t2t_keras.commands.settings import METRICS_NAME, MODEL_NAME, class_names_of, settings_of_run
from t2t_keras.errors import CheckpointError, DataError
from t2t_keras.export import Preprocessing
from t2t_keras.images import CIFAR_MEAN, CIFAR_STD, imagenet_labels
from t2t_keras.images.resize import Size
from t2t_keras.variants import VARIANTS
from t2t_keras.weights.catalogue import RELEASES, Release, imagenet_release
from t2t_keras.weights.convert import classifier
from t2t_keras.weights.keras_file import FILE_ERRORS
from t2t_keras.weights.load import check_weights, load_weights


@dataclasses.dataclass(frozen=True)
class ExportedModel:
    """A model, and what is known of it.

    Args:
        model: With its classifier.
        class_names: In the order of its outputs.
        preprocessing: What it was trained for.
        folder: Where its versions go, if it has a place of its own.
    """

    model: keras.Model
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    folder: Path | None = None


def find_model(
    source: str,
    *,
    model_name: str | None = None,
    weights: str | None = None,
    labels: str | None = None,
    image_size: Size | None = None,
) -> ExportedModel:
    """Loads what MODEL stands for.

    Args:
        source: A run's folder, a `.keras` file, a file of weights, or a variant's name.
        model_name: The variant of a file of weights.
        weights: Of a variant given by its name: "imagenet" or a file.
        labels: A file with a class a line; default those of the run, else ImageNet's.
        image_size: (height, width) in pixels of a model that is built here.

    Raises:
        CheckpointError: The file is damaged, or has no classifier for these classes.
        DataError: The file of labels, or what a run says of itself, cannot be read.
        DownloadError: Released weights cannot be fetched.
        ValueError: There is no such model, or it needs another flag.
    """
    path = Path(source)
    if source in VARIANTS and not path.exists():
        return _of_variant(source, weights, _labels(labels), image_size)
    if weights is not None:
        raise ValueError(
            "--weights goes with a variant's name, such as t2t_vit_14, in place of a file. "
            f"Received: MODEL={source} --weights={weights}"
        )
    if path.is_dir() and (path / MODEL_NAME).is_file():
        path = path / MODEL_NAME
    if not path.is_file():
        raise ValueError(
            "MODEL must be a run's folder, a .keras file, a file of weights with --model, or one "
            f"of {', '.join(VARIANTS)} with --weights=imagenet. Received: MODEL={source}"
        )
    if path.suffix == ".keras" and model_name is None:
        return _of_keras_file(path, labels)
    return _of_variant(_variant_of(path, model_name), str(path), _labels(labels), image_size)


def _of_keras_file(path: Path, labels: str | None) -> ExportedModel:
    try:
        model = keras.saving.load_model(path, compile=False)
    except FILE_ERRORS as error:
        raise CheckpointError(
            f"{path}: Keras cannot load it ({error}). Give a .keras file that a model of this "
            "package was saved to, or --model to read its weights alone."
        ) from error
    settings = settings_of_run(str(path))
    preprocessing = (
        Preprocessing(crop_pct=settings["crop_pct"]) if "crop_pct" in settings else Preprocessing()
    )
    names = _labels(labels) or class_names_of(str(path)) or _imagenet_names()
    _check_count(model, names, path)
    of_run = (path.parent / METRICS_NAME).is_file() and path.name == MODEL_NAME
    return ExportedModel(model, tuple(names), preprocessing, path.parent if of_run else None)


def _of_variant(
    name: str, weights: str | None, labels: list[str] | None, image_size: Size | None
) -> ExportedModel:
    if weights is None:
        raise ValueError(
            f"MODEL={name} needs --weights: imagenet for those the authors released, or a file."
        )
    check_weights(weights, name)
    release = _release(name, weights, image_size)
    size = image_size or (release.image_size if release else VARIANTS[name].image_size,) * 2
    names = labels or _imagenet_names()
    model = classifier(VARIANTS[name], len(names), size, name)
    report = load_weights(model, weights, VARIANTS[name], name)
    if report.fresh:
        raise CheckpointError(
            f"{weights}: has no classifier for {len(names)} classes. Give its classes' names with "
            "--labels=FILE, one a line."
        )
    return ExportedModel(model, tuple(names), preprocessing_of(release))


def _variant_of(path: Path, model_name: str | None) -> str:
    if model_name is not None and model_name not in VARIANTS:
        raise ValueError(
            f"--model must be one of {', '.join(VARIANTS)}. Received: --model={model_name}"
        )
    release = _release(None, str(path), None)
    if model_name is None and release is None:
        raise ValueError(
            f"--model must say of which variant the weights in {path} are, such as t2t_vit_14. "
            "Received: --model="
        )
    return model_name or release.variant


def _release(variant: str | None, weights: str, image_size: Size | None) -> Release | None:
    """The authors' release that the weights are, told by its file's name."""
    if weights == "imagenet":
        return imagenet_release(variant, image_size or (VARIANTS[variant].image_size,) * 2)
    return next((one for one in RELEASES if one.filename == Path(weights).name), None)


def preprocessing_of(release: Release | None) -> Preprocessing:
    """What a release was evaluated with; the default where the weights are no release."""
    if release is None:
        return Preprocessing()
    if release.tag.startswith("cifar"):
        return Preprocessing(crop_pct=release.crop_pct, mean=CIFAR_MEAN, std=CIFAR_STD)
    return Preprocessing(crop_pct=release.crop_pct)


def _labels(path: str | None) -> list[str] | None:
    if path is None:
        return None
    try:
        names = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"--labels={path}: cannot be read ({error}). Give a text file with a class a line."
        ) from error
    if not names:
        raise DataError(f"--labels={path}: is empty. Give a text file with a class a line.")
    return names


def _imagenet_names() -> list[str]:
    return [name for _, name in imagenet_labels()]


def _check_count(model: keras.Model, names: list[str], path: Path) -> None:
    if len(names) != model.output_shape[-1]:
        raise ValueError(
            f"--labels must name the {model.output_shape[-1]} classes of {path}, one a line. "
            f"Received: {len(names)} names"
        )
