"""A model for a picture or two: from a run, a file, or a variant's name."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import keras

from t2t_keras.applications import T2TViT
from t2t_keras.commands.settings import MODEL_NAME, class_names_of, settings_of_run
from t2t_keras.errors import CheckpointError
from t2t_keras.images.constants import DEFAULT_CROP_PCT
from t2t_keras.images.labels import imagenet_labels
from t2t_keras.models.parts import parts_of
from t2t_keras.training.recipes import model_names, variant_of
from t2t_keras.variants import published_name
from t2t_keras.weights.keras_file import FILE_ERRORS
from t2t_keras.weights.load import check_weights, load_weights


@dataclasses.dataclass(frozen=True, eq=False)
class OpenModel:
    """A model and what is known of the pictures it takes.

    Args:
        model: The model.
        class_names: Of its classes; their numbers where the names are not known.
        image_size: (height, width) in pixels.
        crop_pct: Share of the resized side that the evaluation's crop keeps.
    """

    model: keras.Model
    class_names: Sequence[str]
    image_size: tuple[int, int]
    crop_pct: float


def open_model(source: str, variant_name: str | None = None, classes: int = 1000) -> OpenModel:
    """Opens a model that was trained.

    Args:
        source: A run's folder, a `.keras` file, a file of weights, or a variant's name, which
            stands for the authors' released weights.
        variant_name: The variant of a file of weights. With it only the arrays of a `.keras` file
            are read, never its architecture.
        classes: Number of classes in a file of weights.

    Raises:
        ValueError: There is no such model, or a file of weights without its variant.
        CheckpointError: The file is damaged or does not fit.
        DownloadError: Released weights cannot be fetched.
    """
    path = Path(source)
    if (path / MODEL_NAME).is_file():
        path = path / MODEL_NAME
    if path.is_file():
        model = _from_file(path, variant_name, classes)
    elif source in model_names():
        model = T2TViT(variant_of(source), weights="imagenet", name=source)
    else:
        raise ValueError(
            "MODEL must be a run's folder, a .keras file, a file of weights (with --model), or one "
            f"of {', '.join(model_names())}. Received: MODEL={source}"
        )
    parts = parts_of(model)
    height, width = model.input_shape[1:3]
    return OpenModel(
        model,
        _names(class_names_of(str(path)), parts.head.units if parts.head else 0),
        (height or 224, width or 224),
        settings_of_run(str(path)).get("crop_pct", DEFAULT_CROP_PCT),
    )


def _names(known: Sequence[str] | None, classes: int) -> Sequence[str]:
    if known is not None:
        return known
    labels = imagenet_labels()
    if classes == len(labels):
        return [name.replace("_", " ") for _, name in labels]
    return [f"class {index}" for index in range(classes)]


def _from_file(path: Path, variant_name: str | None, classes: int) -> keras.Model:
    if variant_name is None and path.suffix != ".keras":
        raise ValueError(
            "--model must name the variant of a file of weights, such as t2t_vit_14. "
            f"Received: MODEL={path}"
        )
    if variant_name is None:
        try:
            return keras.saving.load_model(path, compile=False)
        except FILE_ERRORS as error:
            raise CheckpointError(
                f"{path}: cannot be loaded: it is damaged, or no model of this package. With "
                f"--model its weights alone are read. ({str(error).strip()[:300]})"
            ) from error
    variant = variant_of(variant_name)
    check_weights(path, published_name(variant))
    model = T2TViT(variant, classes=classes, name=variant_name)
    report = load_weights(model, path, variant, published_name(variant))
    if report.fresh:
        raise CheckpointError(
            f"{path}: its classifier is not for {classes} classes. Give --classes, the number it "
            "was trained on."
        )
    return model
