"""What several processes open alike: the run's folder, which the first one holds, and the data."""

import contextlib
import dataclasses
import json
import logging
import os
import socket
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from t2t_keras.data.inspection import CheckedSplits
from t2t_keras.errors import CheckpointError, DataError, ResumeError
from t2t_keras.files import atomic_path, remove_all_leftovers, try_lock
from t2t_keras.training.checkpoint.store import (
    Checkpoint,
    checkpoint_path,
    newest_checkpoint,
    read_checkpoint,
)
from t2t_keras.training.config import TrainConfig
from t2t_keras.training.devices import Processes
from t2t_keras.training.recipes import settings_of
from t2t_keras.training.sources import RunSources, checked_sources, open_sources

_log = logging.getLogger(__name__)

CHECKPOINTS_NAME = "checkpoints"
LOCK_NAME = ".lock"
LOG_NAME = "log.csv"
SETTINGS_NAME = "settings.json"
_held: set[Path] = set()

# What may change without a word, and what a run cannot change at all: the state would not fit, or
# the batches would be others than those that were counted.
_FREE = ("devices", "log_every", "max_bad_fraction", "on_bad_image", "save_every")
_FIXED = (
    *("dataset", "train_split", "eval_split", "validation_split", "held_out"),
    *("model", "image_size", "batch_size", "seed", "precision", "transfer", "freeze"),
)


@contextlib.contextmanager
def lock_run_directory(folder: Path) -> Iterator[None]:
    """Makes a run's folder and keeps other processes out of it; removes it if it stays empty.

    The lock is the process': inside it, asking again is fine, and the system frees it with the
    process. A file system without locks brings a warning.

    Raises:
        ResumeError: Another process works there; names it.
        OSError: The folder cannot be made.
    """
    path = folder.absolute()
    if path in _held:
        yield
        return
    made = [parent for parent in (path, *path.parents) if not parent.exists()]
    path.mkdir(parents=True, exist_ok=True)
    lock = path / LOCK_NAME
    with open(lock, "a+", encoding="utf-8") as file:
        _acquire(file, folder)
        _held.add(path)
        try:
            yield
        finally:
            _held.discard(path)
            if made and [path.name for path in path.iterdir()] == [LOCK_NAME]:
                lock.unlink()
                with contextlib.suppress(OSError):
                    for parent in made:
                        parent.rmdir()


def is_busy(folder: Path) -> bool:
    """Whether another process works in a run's folder."""
    if not (folder / LOCK_NAME).exists():
        return False
    with open(folder / LOCK_NAME, "rb") as file:
        return not try_lock(file.fileno(), folder)


def _acquire(file: TextIO, folder: Path) -> None:
    if not try_lock(file.fileno(), folder):
        file.seek(0)
        raise ResumeError(
            f"{folder}: another run works in this folder ({file.read().strip()}). Wait for it, or "
            "give another --run_name."
        )
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()


def plain_settings(config: TrainConfig) -> dict[str, Any]:
    """Every setting, as it comes back from JSON."""
    return json.loads(json.dumps(settings_of(config), default=os.fspath))


def write_settings(folder: Path, config: TrainConfig) -> None:
    """Says in a run's folder which run it is."""
    with atomic_path(folder / SETTINGS_NAME) as part:
        part.write_text(json.dumps(plain_settings(config), indent=2) + "\n", encoding="utf-8")


def open_run(
    folder: Path, config: TrainConfig, resume: bool = True, override: Collection[str] = ()
) -> Checkpoint | None:
    """Looks for a run to go on with; call it inside `lock_run_directory`.

    Args:
        folder: The run's.
        config: The settings asked for.
        resume: Whether a run that is there may go on.
        override: Names of settings that may be others than the run's.

    Returns:
        Its newest checkpoint; None where a run starts from the beginning.

    Raises:
        ValueError: A run is there and may not go on, or something else is.
        ResumeError: The run has other settings, or no whole checkpoint.
    """
    remove_all_leftovers(folder)
    if not {path.name for path in folder.iterdir()} - {LOCK_NAME}:
        return None
    if not resume or not (folder / SETTINGS_NAME).is_file():
        what = "is no run that could go on" if resume else "this run exists already"
        raise ValueError(
            f"{folder}: {what}. Give another --run_name or --output_dir, or remove it."
        )
    kept = folder / CHECKPOINTS_NAME
    if kept.is_dir():
        remove_all_leftovers(kept)
    checkpoint = newest_checkpoint(kept)
    if checkpoint is None and (folder / LOG_NAME).exists():
        raise ResumeError(
            f"{folder}: {LOG_NAME} tells of epochs, but there is no checkpoint to go on from. "
            f"Bring {kept} back from a backup, or start afresh under another --run_name."
        )
    then = settings_in(folder) if checkpoint is None else checkpoint.progress["settings"]
    _check_settings(folder, then, plain_settings(config), override)
    return checkpoint


def settings_in(folder: Path) -> dict[str, Any]:
    """The settings of the run in a folder.

    Raises:
        ResumeError: They cannot be read.
    """
    path = folder / SETTINGS_NAME
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ResumeError(
            f"{path}: cannot be read ({error}). Start afresh under another --run_name."
        ) from error


def changed_settings(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Name -> (old, new) of what differs; a setting that did not exist then had its default."""
    defaults = {
        field.name: field.default
        for field in dataclasses.fields(TrainConfig)
        if field.default is not dataclasses.MISSING
    }
    names = [name for name in (*now, *(then.keys() - now.keys())) if name not in _FREE]
    pairs = {name: (then.get(name, defaults.get(name)), now.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def check_override(names: Collection[str]) -> None:
    """Raises a ValueError where a name is no setting, or one that a run cannot change."""
    allowed = [f.name for f in dataclasses.fields(TrainConfig) if f.name not in _FIXED]
    if wrong := [name for name in names if name not in allowed]:
        raise ValueError(
            f"`override` must name settings that a run can change: {', '.join(allowed)}. "
            f"Received: override={','.join(wrong)}"
        )


def _check_settings(
    folder: Path, then: Mapping[str, Any], now: Mapping[str, Any], override: Collection[str]
) -> None:
    for name in _FREE:
        if then.get(name) != now.get(name):
            _log.info("%s: %s was %s, now %s.", folder, name, then.get(name), now.get(name))
    changed = changed_settings(then, now)
    refused = {name for name in changed if name in _FIXED or name not in override}
    if not refused:
        for name, (old, new) in changed.items():
            _log.info("%s: --%s was %s and is %s from here on.", folder, name, old, new)
        return
    lines = [
        f"  --{name} was {changed[name][0]}, now {changed[name][1]}"
        + (" (cannot change within a run)" if name in _FIXED else "")
        for name in changed
    ]
    allowed = ",".join(name for name in changed if name not in _FIXED)
    advice = "" if refused & {*_FIXED} else f", or allow the change with --override={allowed}"
    raise ResumeError(
        f"{folder}: the run there has other settings. Give the old ones or another "
        f"--run_name{advice}.\n" + "\n".join(lines)
    )


def unfinished_run(output_dir: Path, config: TrainConfig, finished_name: str) -> Path | None:
    """The newest run of the same settings that is neither finished nor at work.

    Args:
        output_dir: Folder of all runs.
        config: The settings.
        finished_name: The file that marks a finished run.
    """
    now = plain_settings(config)
    found = sorted(output_dir.glob(f"*/{SETTINGS_NAME}"), key=lambda path: path.stat().st_mtime)
    for folder in (path.parent for path in reversed(found)):
        if (folder / finished_name).exists() or is_busy(folder):
            continue
        with contextlib.suppress(ResumeError):
            if not changed_settings(settings_in(folder), now):
                return folder
    return None


@contextlib.contextmanager
def lock_run_directory_of(processes: Processes, folder: Path) -> Iterator[None]:
    """`lock_run_directory` in the first process; the others wait until it holds the folder.

    Raises:
        ResumeError: Another run works there.
        OSError: The folder cannot be made.
    """
    with contextlib.ExitStack() as stack:
        processes.from_first(lambda: stack.enter_context(lock_run_directory(folder)))
        yield


def open_run_of(
    processes: Processes,
    folder: Path,
    config: TrainConfig,
    resume: bool = True,
    override: Collection[str] = (),
) -> Checkpoint | None:
    """`open_run`, with the same checkpoint in all processes; raises what it raises."""
    opened: list[Checkpoint | None] = []

    def step_of_first() -> int | None:
        opened.append(open_run(folder, config, resume, override))
        return None if opened[0] is None else opened[0].step

    step = processes.from_first(step_of_first)
    if processes.first or step is None:
        return opened[0] if opened else None
    try:
        return read_checkpoint(checkpoint_path(folder / CHECKPOINTS_NAME, step))
    except CheckpointError as error:
        raise ResumeError(
            f"{error} Process 0 goes on from there, and process {processes.number} must read it "
            "too: --output_dir must be a folder that all machines share."
        ) from error


def checked_sources_of(
    processes: Processes, config: TrainConfig, folder: Path, checkpoint: Checkpoint | None
) -> tuple[RunSources, CheckedSplits]:
    """`checked_sources` of `open_sources`, the same in all processes and as in the checkpoint.

    Raises:
        ResumeError: The run that goes on was started with other images.
        DataError: As those do, or the processes do not find as many images.
    """
    opened = processes.in_turn(lambda: open_sources(config))  # a dataset may be written first
    sources, usable = checked_sources(opened, config, checkpoint and folder)
    sizes = [sources.training.num_train, sources.training.num_eval, sources.test.num_eval]
    most = [processes.highest(size) for size in sizes]
    if processes.highest(int(sizes != most)):
        raise DataError(
            f"{config.dataset}: process {processes.number} finds {sizes} images to train, "
            f"validate and test on, and the most found are {most}. Every machine must have the "
            "same dataset."
        )
    if checkpoint is not None:
        usable.check_same(checkpoint.progress.get("images", {}))
    return sources, usable
