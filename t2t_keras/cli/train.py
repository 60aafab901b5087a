"""The work of `train_keras.py`: a run, its files and what is said about it."""

import contextlib
import dataclasses
import itertools
import json
import logging
import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras

from t2t_keras.cli.main import echo, exit_code, show_log
from t2t_keras.cli.report import accuracies, metrics, next_steps, samples, summary
from t2t_keras.cli.run_files import FILES, write_files
from t2t_keras.cli.settings import METRICS_NAME, evaluation_config, train_config
from t2t_keras.errors import ResumeError, RunInterrupted
from t2t_keras.files import atomic_path
from t2t_keras.training import TrainConfig, evaluate, train
from t2t_keras.training.devices import LeavingAtOnce, join_processes
from t2t_keras.training.run_directory import (
    changed_settings,
    check_override,
    lock_run_directory_of,
    plain_settings,
    settings_in,
    unfinished_run,
)

_OWN_FLAGS = ("run_name", "override", "coordinator", "num_processes", "process_id")
_FLAGS = (*TrainConfig.__dataclass_fields__, *_OWN_FLAGS)

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainCommand:
    """What `train_keras.py` is asked for.

    Args:
        mode: "train" or "eval".
        settings: Fields of `TrainConfig` that were given; None stands for the recipe's value.
        output_dir: Folder of all runs.
        run_name: The run's folder in it; None makes one of time, model and size.
        verbose: 0 a line an epoch, 1 Keras' bar too, 2 a line every `log_every` steps; None is 1
            on a terminal and 2 elsewhere.
        resume: Whether a run that was interrupted goes on.
        override: Names of settings in which it may differ from how it was started.
        together: Coordinator, number of processes and this one's, as `join_processes` takes them.
    """

    mode: str
    settings: Mapping[str, Any]
    output_dir: str
    run_name: str | None = None
    verbose: int | None = None
    resume: bool = True
    override: tuple[str, ...] = ()
    together: tuple[str | None, int | None, int | None] = (None, None, None)


def run(command: TrainCommand, debug: bool = False) -> int:
    """Trains or evaluates, says what came of it and returns the exit code.

    Args:
        command: What to do.
        debug: Let errors through, with their traceback.
    """
    show_log(sys.stdout)
    work = _evaluate if command.mode == "eval" else _train
    with LeavingAtOnce() as leaving:
        code = exit_code(lambda: work(command), debug, settings=_FLAGS)
        leaving.leave(code)
    return code


def _verbose(command: TrainCommand) -> int:
    return (1 if sys.stdout.isatty() else 2) if command.verbose is None else command.verbose


def _evaluate(command: TrainCommand) -> int:
    if command.together[0] is not None:
        raise ValueError(
            "`coordinator` must be left out with --mode=eval: one process evaluates, on all its "
            f"devices. Received: coordinator={command.together[0]}"
        )
    config, class_names = evaluation_config(command.settings)
    scores = evaluate(config, class_names, _verbose(command))
    echo(
        f"{config.weights} on {config.dataset}, {scores.images} images: "
        f"{accuracies(scores)}, loss {scores.loss:.4f}"
    )
    return 0


def _train(command: TrainCommand) -> int:
    started = time.monotonic()
    config = train_config(command.settings)
    check_override(command.override)
    processes = join_processes(*command.together, config.devices)
    if not processes.first:
        logging.getLogger("t2t_keras").setLevel(logging.WARNING)
    folder = Path(processes.from_first(lambda: os.fspath(_run_folder(command, config))))
    with lock_run_directory_of(processes, folder), _how_to_go_on(folder):
        if processes.from_first(lambda: command.resume and _is_complete(folder, config)):
            echo(f"{folder}: this run is finished, and nothing is missing.")
            return 0
        result = train(
            config,
            folder,
            _verbose(command),
            resume=command.resume,
            override=command.override,
        )
        if not processes.first:
            return 0
        version = write_files(config, result, folder)
        lines = samples(version, result)
        seconds = time.monotonic() - started
        with atomic_path(folder / METRICS_NAME) as part:
            part.write_text(json.dumps(metrics(config, result, seconds), indent=2) + "\n")
        echo("\n".join([*summary(config, result, seconds), *lines, *next_steps(folder, config)]))
    return 0


def _run_folder(command: TrainCommand, config: TrainConfig) -> Path:
    """Where the run goes: a run that was asked for by name, one to go on with, or a new one.

    Raises:
        ValueError: The name is none.
    """
    output_dir = Path(command.output_dir)
    if command.run_name is not None:
        if command.run_name in ("", "..") or Path(command.run_name).name != command.run_name:
            raise ValueError(
                "`run_name` must be the plain name of a folder. "
                f"Received: run_name={command.run_name}"
            )
        return output_dir / command.run_name
    found = unfinished_run(output_dir, config, METRICS_NAME) if command.resume else None
    if found is not None:
        _log.info("%s: an unfinished run of these settings. --noresume starts afresh.", found)
        return found
    size = "x".join(map(str, sorted(set(config.image_size))))
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{config.model}-{size}"
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(path for name in names if not (path := output_dir / name).exists())


def _is_complete(folder: Path, config: TrainConfig) -> bool:
    """Whether a run of these settings has written all that it should.

    Raises:
        ResumeError: It is finished, with other settings.
    """
    if not (folder / METRICS_NAME).exists():
        return False
    if changed := changed_settings(settings_in(folder), plain_settings(config)):
        lines = [f"  --{name} was {old}, now {new}" for name, (old, new) in changed.items()]
        raise ResumeError(
            f"{folder}: this run is finished, with other settings. Give another --run_name, and "
            f"--weights={folder} to start from what it learned.\n" + "\n".join(lines)
        )
    return all((folder / name).exists() for name in FILES)


@contextlib.contextmanager
def _how_to_go_on(folder: Path) -> Iterator[None]:
    """Says how a run goes on that is stopped inside."""
    try:
        yield
    except RunInterrupted:
        on = [] if keras.backend.backend() == "tensorflow" else ["KERAS_BACKEND=jax"]
        started = [*on, os.path.relpath(sys.executable), *sys.argv]
        # Of a flag that is given twice the last value counts.
        command = shlex.join([*started, f"--run_name={folder.name}", "--resume"])
        echo(f"Nothing is lost. Go on with:\n  {command}")
        raise
