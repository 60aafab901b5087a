"""The command `train`: a run, its files and a report of it."""

import contextlib
import itertools
import logging
import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import keras
from absl import flags

from t2t_keras.cli.flags import given_settings, verbosity
from t2t_keras.cli.main import echo, program
from t2t_keras.cli.models import METRICS_NAME, weights_file
from t2t_keras.cli.report import FILES, classify_samples, summary, write_files, write_metrics
from t2t_keras.errors import ResumeError, RunInterrupted, check
from t2t_keras.training import TrainConfig, make_config, settings_of, train
from t2t_keras.training.devices.processes import join_processes
from t2t_keras.training.run_directory import (
    changed_settings,
    check_override,
    lock_run_directory,
    settings_in,
    unfinished_run,
)

_log = logging.getLogger(__name__)


def _run_folder(values: flags.FlagValues, config: TrainConfig) -> Path:
    """Returns the folder of the run: the one named, that of an unfinished run, or a new one."""
    output_dir, name = Path(values.output_dir), values.run_name
    if name is not None:
        plain = name not in ("", "..") and Path(name).name == name
        check(plain, "run_name", name, "the plain name of a folder")
        return output_dir / name
    unfinished = unfinished_run(output_dir, config, METRICS_NAME) if values.resume else None
    if unfinished is not None:
        _log.info(
            "%s: resumes an unfinished run of these settings; --noresume starts a new one.",
            unfinished,
        )
        return unfinished
    size = "x".join(map(str, sorted(set(config.image_size))))
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{config.model}-{size}"
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(path for name in names if not (path := output_dir / name).exists())


def _is_complete(folder: Path, config: TrainConfig) -> bool:
    """Returns True where a run of these settings has written all its files."""
    if not (folder / METRICS_NAME).exists():
        return False
    if changed := changed_settings(settings_in(folder), settings_of(config)):
        lines = [f"  `{name}` was {old}, now {new}" for name, (old, new) in changed.items()]
        raise ResumeError(
            f"{folder}: this run is finished, with other settings. Give another `run_name`, and "
            f"`weights={folder}` to start from what it learned.\n" + "\n".join(lines)
        )
    return all((folder / name).exists() for name in FILES)


@contextlib.contextmanager
def _say_how_to_resume(folder: Path) -> Iterator[None]:
    """Prints the command that resumes a run which is stopped inside."""
    try:
        yield
    except RunInterrupted:
        backend = [] if keras.backend.backend() == "tensorflow" else ["KERAS_BACKEND=jax"]
        # Of a flag that is given twice the last value counts.
        again = [*backend, *program(), *sys.argv[1:], f"--run_name={folder.name}", "--resume"]
        echo(f"Nothing is lost. Resume with:\n  {shlex.join(again)}")
        raise


def run(values: flags.FlagValues, arguments: list[str]) -> int:
    """Trains a model, or resumes a run."""
    started = time.monotonic()
    given = given_settings(values)
    given["weights"] = weights_file(given["weights"])
    given["transfer"] = True if values.mode == "transfer" else given["transfer"]
    config = make_config(**given)
    check_override(values.override)
    processes = join_processes(
        values.coordinator, values.num_processes, values.process_id, config.devices
    )
    if not processes.first:
        logging.getLogger("t2t_keras").setLevel(logging.WARNING)
    folder = Path(processes.from_first(lambda: os.fspath(_run_folder(values, config))))
    with lock_run_directory(folder, processes), _say_how_to_resume(folder):
        if processes.from_first(lambda: values.resume and _is_complete(folder, config)):
            echo(f"{folder}: this run is finished, and nothing is missing.")
            return 0
        result = train(
            config,
            folder,
            verbosity(values),
            resume=values.resume,
            override=values.override,
        )
        if processes.first:
            version = write_files(config, result, folder)
            samples = classify_samples(version, result.sources.test)
            seconds = time.monotonic() - started
            write_metrics(config, result, folder, seconds)
            echo(summary(config, result, folder, samples, seconds))
    return 0
