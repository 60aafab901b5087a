"""The command `evaluate`: the accuracy of weights on a dataset."""

from collections.abc import Mapping
from typing import Any

from absl import flags

from t2t_keras.cli.flags import given_settings, verbosity
from t2t_keras.cli.main import echo
from t2t_keras.cli.models import class_names_of, origin_of, read_labels, weights_file
from t2t_keras.errors import check
from t2t_keras.training import TrainConfig, evaluate, make_config

_MODEL_SETTINGS = ("model", "image_size", "crop_pct", "statistics", "mean", "std")
_DATA_SETTINGS = ("dataset", "data_dir", "validation_split", "eval_split")


def evaluation_config(
    given: Mapping[str, Any], labels: str | None = None
) -> tuple[TrainConfig, tuple[str, ...]]:
    """Completes settings, and adds class names, by the run or release of the weights."""
    given = {name: value for name, value in given.items() if value is not None}
    expected = "given to evaluate: a file of weights, a run's folder, or imagenet"
    check("weights" in given, "weights", None, expected)
    weights, origin = weights_file(given["weights"]), origin_of(given["weights"])
    known = origin.settings()
    same_data = given.get("dataset", known.get("dataset")) == known.get("dataset")
    names = (*_MODEL_SETTINGS, *_DATA_SETTINGS) if same_data else _MODEL_SETTINGS
    kept = {name: known[name] for name in names if name in known}
    if "statistics" in given:
        kept |= {"mean": (), "std": ()}
    # Nothing is trained, so no images are held out.
    fixed = {"weights": weights, "held_out": 0.0, "train_split": None}
    class_names = class_names_of(origin, read_labels(labels))
    return make_config(**{**kept, **given, **fixed}), class_names


def run(values: flags.FlagValues, arguments: list[str]) -> int:
    """Evaluates the weights of the first argument or, in `train`, of the flag."""
    expected = "left out with `mode=evaluate`, which uses one process with all its devices"
    coordinator = getattr(values, "coordinator", None)
    check(coordinator is None, "coordinator", coordinator, expected)
    given = given_settings(values)
    weights = arguments[0] if arguments else given.get("weights")
    labels = getattr(values, "labels", None)
    config, class_names = evaluation_config({**given, "weights": weights}, labels)
    scores = evaluate(config, class_names, verbosity(values))
    echo(
        f"{config.weights} on {config.dataset}, {scores.images} images: "
        f"{scores}, loss {scores.loss:.4f}"
    )
    return 0
