"""From what was asked for on the command line to the settings of a run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from t2t_keras.errors import DataError
from t2t_keras.training import TrainConfig, make_config
from t2t_keras.weights.catalogue import release_named
from t2t_keras.weights.model_card import ModelCard, read_card

METRICS_NAME = "metrics.json"
MODEL_NAME = "model.keras"

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


def evaluation_config(settings: Mapping[str, Any]) -> TrainConfig:
    """The settings of an evaluation; what is not given comes from the run that made the weights.

    Raises:
        ValueError: A setting is out of range, or there are no weights.
        DataError: The run's own settings cannot be read.
    """
    given = {name: value for name, value in _parsed(settings).items() if value is not None}
    if "weights" not in given:
        raise ValueError(
            "--mode=eval needs --weights: a file of weights, a run's folder, or imagenet. "
            "Received: --weights="
        )
    weights = given["weights"]
    of_run = settings_of_run(weights) or _settings_of_release(weights) or _settings_of_card(weights)
    same_data = given.get("dataset", of_run.get("dataset")) == of_run.get("dataset")
    names = (*_OF_MODEL, *_OF_DATA) if same_data else _OF_MODEL
    kept = {name: of_run[name] for name in names if name in of_run}
    # Nothing is trained, so no pictures are held out.
    return make_config(**{**kept, **given, "held_out": 0.0, "train_split": None})


def class_names_of(weights: str) -> list[str] | None:
    """The classes that weights are known to be for; None where nobody says so."""
    of_run = _metrics_of_run(weights).get("class_names")
    if of_run is None and (card := _card_in(weights)) is not None:
        return list(card.class_names) or None
    return of_run


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


def settings_of_run(weights: str) -> dict[str, Any]:
    """The settings of the run that made these weights; empty where no run made them."""
    return _metrics_of_run(weights).get("settings", {})


def _settings_of_release(weights: str) -> dict[str, Any]:
    """How the pictures were prepared that a released file was measured on."""
    release = release_named(Path(weights).name)
    if release is None:
        return {}
    size = (release.image_size, release.image_size)
    names = ("crop_pct", "statistics")
    of_release = {name: getattr(release, name) for name in names}
    return {"model": release.variant, "image_size": size, **of_release}


def _settings_of_card(weights: str) -> dict[str, Any]:
    """How the pictures of a model were prepared that is not in its run's folder any more."""
    card = _card_in(weights)
    return {} if card is None else {"crop_pct": card.crop_pct, "statistics": card.statistics}


def _card_in(weights: str) -> ModelCard | None:
    return read_card(weights) if Path(weights).suffix == ".keras" else None


def _metrics_of_run(weights: str) -> dict[str, Any]:
    """What the run that made these weights wrote about itself; empty where no run made them."""
    path = Path(weights).parent / METRICS_NAME
    if Path(weights).name != MODEL_NAME or not path.is_file():
        return {}
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        size = tuple(metrics["settings"]["image_size"])
        return {**metrics, "settings": {**metrics["settings"], "image_size": size}}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: is not what a run writes ({error}). Remove it and give --model and "
            "--image_size."
        ) from error
