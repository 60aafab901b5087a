"""The work of `train_keras.py`: a run, its files and what is said about it."""

import dataclasses
import json
import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import absl.logging

from t2t_keras.commands.outcome import exit_code, say
from t2t_keras.commands.report import accuracies, metrics, next_steps, samples, summary
from t2t_keras.commands.settings import (
    METRICS_NAME,
    MODEL_NAME,
    class_names_of,
    evaluation_config,
    train_config,
)
from t2t_keras.export import export_saved_model
from t2t_keras.files import atomic_path
from t2t_keras.training import TrainConfig, TrainResult, evaluate, train
from t2t_keras.visualize import plot_confusion, plot_curves
from t2t_keras.weights.convert import write_model

CURVES_NAME = "curves.png"
CONFUSION_NAME = "confusion_matrix.png"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainCommand:
    """What `train_keras.py` is asked for.

    Args:
        mode: "train" or "eval".
        settings: Fields of `TrainConfig` that were given; None stands for the recipe's value.
        output_dir: Folder of all runs.
        run_name: The run's folder in it; None makes one of time, model and size.
        verbose: Keras' progress: 0 nothing, 1 a bar, 2 a line an epoch; None is 1 on a terminal
            and 2 elsewhere.
    """

    mode: str
    settings: Mapping[str, Any]
    output_dir: str
    run_name: str | None = None
    verbose: int | None = None


def run(command: TrainCommand, debug: bool = False) -> int:
    """Trains or evaluates, says what came of it and returns the exit code.

    Args:
        command: What to do.
        debug: Let errors through, with their traceback.
    """
    _show_log()
    work = _evaluate if command.mode == "eval" else _train
    return exit_code(lambda: work(command), debug)


def _show_log() -> None:
    """Shows our own messages, plainly, in the order of Keras' progress; of others warnings only."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger("t2t_keras")
    log.handlers = [handler]
    log.propagate = False
    log.setLevel(logging.INFO)
    logging.getLogger("tensorflow").setLevel(logging.WARNING)
    absl.logging.set_verbosity(absl.logging.WARNING)  # it undoes what its logger is told


def _verbose(command: TrainCommand) -> int:
    return (1 if sys.stdout.isatty() else 2) if command.verbose is None else command.verbose


def _evaluate(command: TrainCommand) -> int:
    config = evaluation_config(command.settings)
    scores = evaluate(config, class_names_of(config.weights), _verbose(command))
    say(
        f"{config.weights} on {config.dataset}, {scores.pictures} pictures: "
        f"{accuracies(scores)}, loss {scores.loss:.4f}"
    )
    return 0


def _train(command: TrainCommand) -> int:
    started = time.monotonic()
    config = train_config(command.settings)
    folder = _run_folder(command, config)
    result = train(config, folder, _verbose(command))
    version = _write_files(config, result, folder)
    lines = samples(version, result)
    with atomic_path(folder / METRICS_NAME) as part:
        seconds = time.monotonic() - started
        part.write_text(json.dumps(metrics(config, result, seconds), indent=2) + "\n")
    say("\n".join([*summary(config, result, seconds), *lines, *next_steps(folder, config)]))
    return 0


def _run_folder(command: TrainCommand, config: TrainConfig) -> Path:
    """Where the run goes; made later, when everything else has been checked.

    Raises:
        ValueError: It exists, or the name is none.
    """
    size = "x".join(map(str, sorted(set(config.image_size))))
    made_up = f"{time.strftime('%Y%m%d-%H%M%S')}-{config.model}-{size}"
    name = made_up if command.run_name is None else command.run_name
    if not name or Path(name).name != name:
        raise ValueError(
            f"`run_name` must be the plain name of a folder. Received: run_name={command.run_name}"
        )
    folder = Path(command.output_dir) / name
    if folder.exists():
        raise ValueError(
            f"{folder}: this run exists already. Give another --run_name or --output_dir, or "
            "remove it."
        )
    return folder


def _write_files(config: TrainConfig, result: TrainResult, folder: Path) -> Path:
    """Writes the models and plots; returns the SavedModel's folder."""
    names = result.sources.training.class_names
    title = (
        f"{config.model} on {config.dataset}: {result.scores.accuracy:.2%} of "
        f"{result.scores.pictures} test pictures"
    )
    write_model(result.model, folder / MODEL_NAME)
    plot_curves(result.history, folder / CURVES_NAME, title, result.best_epoch)
    plot_confusion(result.scores.confusion, names, folder / CONFUSION_NAME, title)
    return export_saved_model(result.model, names, folder, 1, config.crop_pct)
