"""The command `evaluate`: the accuracy of weights on a dataset."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import flags

from t2t_keras.cli.flags import given_settings, verbosity
from t2t_keras.cli.main import echo
from t2t_keras.cli.models import METRICS_NAME, MODEL_NAME
from t2t_keras.errors import DataError, check
from t2t_keras.training import Scores, TrainConfig, evaluate, make_config
from t2t_keras.weights.formats import read_metadata
from t2t_keras.weights.releases import release_named

_MODEL_SETTINGS = ("model", "image_size", "crop_pct", "statistics")
_DATA_SETTINGS = ("dataset", "data_dir", "validation_split", "eval_split")


def accuracies(scores: Scores) -> str:
    """Formats top-1, and top-5 where there are more than five classes."""
    top1 = f"top-1 {scores.accuracy:.2%}"
    return f"{top1}, top-5 {scores.top5_accuracy:.2%}" if len(scores.confusion) > 5 else top1


def evaluation_config(given: Mapping[str, Any]) -> tuple[TrainConfig, tuple[str, ...]]:
    """Completes settings, and adds class names, by the run or release of the weights."""
    given = {name: value for name, value in given.items() if value is not None}
    weights = weights_file(given.get("weights")) or ""
    expected = "given to evaluate: a file of weights, a run's folder, or imagenet"
    check(bool(weights), "weights", weights, expected)
    known, class_names = origin_of(weights)
    same_data = given.get("dataset", known.get("dataset")) == known.get("dataset")
    names = (*_MODEL_SETTINGS, *_DATA_SETTINGS) if same_data else _MODEL_SETTINGS
    kept = {name: known[name] for name in names if name in known}
    # Nothing is trained, so no images are held out.
    fixed = {"weights": weights, "held_out": 0.0, "train_split": None}
    return make_config(**{**kept, **given, **fixed}), class_names


def weights_file(weights: str | None) -> str | None:
    """Returns the model file of a run's folder, and anything else that exists as it is."""
    if weights and (Path(weights) / MODEL_NAME).is_file():
        return str(Path(weights) / MODEL_NAME)
    known = not weights or weights == "imagenet" or Path(weights).is_file()
    expected = "imagenet, an existing file of weights or a run's folder"
    check(known, "weights", weights, expected)
    return weights or None


def origin_of(weights: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Reads the settings and class names of the run, release or file that weights come from."""
    path = Path(weights)
    if path.name == MODEL_NAME and (path.parent / METRICS_NAME).is_file():
        return _origin_in_run(path.parent / METRICS_NAME)
    if (release := release_named(path.name)) is not None:
        size = (release.image_size, release.image_size)
        colors = {"crop_pct": release.crop_pct, "statistics": release.statistics}
        return {"model": release.variant, "image_size": size, **colors}, ()
    if path.suffix == ".keras" and (metadata := read_metadata(path)) is not None:
        colors = {"crop_pct": metadata.crop_pct, "statistics": metadata.statistics}
        return colors, metadata.class_names
    return {}, ()


def _origin_in_run(path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        settings, names = metrics["settings"], tuple(metrics["class_names"])
        return {**settings, "image_size": tuple(settings["image_size"])}, names
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: is not what a run writes ({error}). Remove it and give `model` and "
            "`image_size`."
        ) from error


def run(values: flags.FlagValues, arguments: list[str]) -> int:
    """Evaluates the weights of the first argument or, in `train`, of the flag."""
    given = given_settings(values)
    weights = arguments[0] if arguments else given.get("weights")
    config, class_names = evaluation_config({**given, "weights": weights})
    scores = evaluate(config, class_names, verbosity(values))
    echo(
        f"{config.weights} on {config.dataset}, {scores.images} images: "
        f"{accuracies(scores)}, loss {scores.loss:.4f}"
    )
    return 0
