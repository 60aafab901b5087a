"""From what was asked for on the command line to the settings of a run."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from t2t_keras.errors import DataError
from t2t_keras.training import TrainConfig, make_config
from t2t_keras.weights.formats import read_metadata
from t2t_keras.weights.releases import release_named

METRICS_NAME = "metrics.json"
MODEL_NAME = "model.keras"

OF_CARD = ("crop_pct", "statistics")  # what a model card says of the images

_OF_MODEL = ("model", "image_size", "crop_pct", "statistics")
_OF_DATA = ("dataset", "data_dir", "validation_split", "eval_split")


def train_config(settings: Mapping[str, Any]) -> TrainConfig:
    """The settings of a run.

    Args:
        settings: Fields of `TrainConfig` as the command line has them; None where not given.

    Raises:
        ValueError: A setting is out of range.
    """
    return make_config(**_parsed(settings))


@dataclasses.dataclass(frozen=True)
class Origin:
    """What is known of weights from the run, the release or the file that they come from.

    Args:
        settings: Fields of `TrainConfig`; empty where nobody says any.
        class_names: In the order of the outputs; empty where nobody says them.
        of_run: Whether the weights lie in the folder of the run that made them.
    """

    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    of_run: bool = False


def origin_of(weights: str) -> Origin:
    """What is known of weights.

    Args:
        weights: "imagenet" or a file.

    Raises:
        CheckpointError: The file is damaged.
        DataError: What the run says of itself cannot be read.
    """
    path = Path(weights)
    if path.name == MODEL_NAME and (path.parent / METRICS_NAME).is_file():
        return _origin_in_run(path.parent / METRICS_NAME)
    if (release := release_named(path.name)) is not None:
        size = (release.image_size, release.image_size)
        of_card = {name: getattr(release, name) for name in OF_CARD}
        return Origin({"model": release.variant, "image_size": size, **of_card})
    if path.suffix == ".keras" and (card := read_metadata(path)) is not None:
        return Origin({name: getattr(card, name) for name in OF_CARD}, card.class_names)
    return Origin()


def evaluation_config(settings: Mapping[str, Any]) -> tuple[TrainConfig, tuple[str, ...]]:
    """The settings of an evaluation; what is not given comes from the run that made the weights.

    Returns:
        The settings, and the classes that the weights are known to be for; none where nobody says.

    Raises:
        ValueError: A setting is out of range, or there are no weights.
        CheckpointError: The weights' file is damaged.
        DataError: The run's own settings cannot be read.
    """
    given = {name: value for name, value in _parsed(settings).items() if value is not None}
    if "weights" not in given:
        raise ValueError(
            "--mode=eval needs --weights: a file of weights, a run's folder, or imagenet. "
            "Received: --weights="
        )
    origin = origin_of(given["weights"])
    of_run = origin.settings
    same_data = given.get("dataset", of_run.get("dataset")) == of_run.get("dataset")
    names = (*_OF_MODEL, *_OF_DATA) if same_data else _OF_MODEL
    kept = {name: of_run[name] for name in names if name in of_run}
    # Nothing is trained, so no images are held out.
    config = make_config(**{**kept, **given, "held_out": 0.0, "train_split": None})
    return config, origin.class_names


def _parsed(settings: Mapping[str, Any]) -> dict[str, Any]:
    parsed = dict(settings)
    if parsed.get("weights") and (Path(parsed["weights"]) / MODEL_NAME).is_file():
        parsed["weights"] = str(Path(parsed["weights"]) / MODEL_NAME)
    weights = parsed.get("weights")
    if weights and weights != "imagenet" and not Path(weights).is_file():
        raise ValueError(
            "`weights` must be imagenet, an existing file of weights or a run's folder. "
            f"Received: weights={weights}"
        )
    if parsed.get("image_size"):
        parsed["image_size"] = image_size_of(parsed["image_size"])
    parsed["devices"] = tuple(parsed.get("devices") or ())
    return parsed


def image_size_of(sides: list[str]) -> tuple[int, int]:
    """Height and width in pixels of one or two numbers on the command line.

    Raises:
        ValueError: They are no such numbers.
    """
    try:
        given = ",".join(sides).replace("x", ",").split(",")
        height, width = (int(side) for side in (given * 2 if len(given) == 1 else given))
    except ValueError as error:
        raise ValueError(
            "`image_size` must be a side in pixels, or HEIGHTxWIDTH. "
            f"Received: image_size={','.join(sides)}"
        ) from error
    return height, width


def _origin_in_run(path: Path) -> Origin:
    """What a run wrote about itself."""
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        settings = metrics["settings"]
        size = tuple(settings["image_size"])
        names = tuple(metrics.get("class_names", ()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: is not what a run writes ({error}). Remove it and give --model and "
            "--image_size."
        ) from error
    return Origin({**settings, "image_size": size}, names, of_run=True)
