"""A run's folder: its lock, its settings, and whether a run starts or resumes there."""

import contextlib
import json
import logging
import os
import secrets
import socket
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock

from t2t_keras.errors import ResumeError, check
from t2t_keras.files import acquire, digest_of, remove_leftovers, require_regular, write_text
from t2t_keras.training.checkpoint.store import CHECKPOINTS_NAME, Checkpoint, newest_checkpoint
from t2t_keras.training.config import BACKBONE, TrainConfig, settings
from t2t_keras.training.devices.processes import ALONE, Processes
from t2t_keras.training.recipes import settings_of

_log = logging.getLogger(__name__)

LOCK_NAME = ".lock"
HOLDER_NAME = ".lock-holder"  # a file of its own: taking the lock empties the lock's
LOG_NAME = "log.csv"
SETTINGS_NAME = "settings.json"
TENSORBOARD_NAME = "tensorboard"
_ID_BYTES = 8

RUN_ID = "run_id"  # ties checkpoints to their run; kept beside the settings and in the checkpoints
# Settings that may change without a word, and those that a run cannot change at all: its state
# would not fit, or its batches would differ from those already counted.
_FREE = (RUN_ID, "devices", "log_every", "max_bad_fraction", "on_bad_image", "save_every")
_FIXED = (
    *("dataset", "train_split", "eval_split", "validation_split", "held_out"),
    *("model", "image_size", "batch_size", "seed", "precision", "transfer", "freeze"),
)


@contextlib.contextmanager
def lock_run_directory(folder: Path, processes: Processes = ALONE) -> Iterator[None]:
    """Makes a run's folder and keeps other runs out of it; removes it if it stays empty.

    The first process holds the lock, and the others wait until it does. The lock belongs to the
    process, which may take it again inside; the system frees the lock of a killed process.
    """
    with contextlib.ExitStack() as stack:
        processes.from_first(lambda: stack.enter_context(_locked(folder)))
        yield


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    path = folder.absolute()
    made = [parent for parent in (path, *path.parents) if not parent.exists()]
    path.mkdir(parents=True, exist_ok=True)
    holder = path / HOLDER_NAME
    lock = filelock.FileLock(path / LOCK_NAME, is_singleton=True)
    if lock.is_locked:
        yield
        return
    try:
        acquire(lock, folder, timeout=0)
    except filelock.Timeout as error:
        raise ResumeError(
            f"{folder}: another run works in this folder ({_holder_name(holder)}). Wait for it, "
            "or give another `run_name`."
        ) from error
    write_text(holder, f"process {os.getpid()} on {socket.gethostname()}\n")
    try:
        yield
    finally:
        holder.unlink(missing_ok=True)
        if made and not _files_of_run(path):
            (path / LOCK_NAME).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                for parent in made:
                    parent.rmdir()
        lock.release()


def _holder_name(holder: Path) -> str:
    with contextlib.suppress(OSError):
        require_regular(holder)
        return holder.read_text(encoding="utf-8", errors="replace").strip()
    return "unknown"


def _files_of_run(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {LOCK_NAME, HOLDER_NAME}


def is_busy(folder: Path) -> bool:
    """Tells whether a process works in a run's folder."""
    if not (folder / LOCK_NAME).exists():
        return False
    lock = filelock.FileLock(folder / LOCK_NAME)
    try:
        acquire(lock, folder, timeout=0)
    except filelock.Timeout:
        return True
    lock.release()
    return False


def run_facts(config: TrainConfig) -> dict[str, Any]:
    """Facts of a run by which its checkpoints are recognized, as JSON holds them.

    "backbone" is the digest of a frozen backbone's file, which no checkpoint holds, or None.
    """
    weights, digest = config.weights, None
    if config.freeze == BACKBONE and weights is not None and os.path.isfile(weights):
        digest = digest_of(Path(weights))
    return {"settings": settings_of(config), "backbone": digest}


def settings_in(folder: Path) -> dict[str, Any]:
    """The settings of the run in a folder."""
    path = folder / SETTINGS_NAME
    try:
        require_regular(path)
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ResumeError(
            f"{path}: cannot be read ({error}). Start afresh under another `run_name`."
        ) from error


def run_id_of(folder: Path) -> str | None:
    """The id of the run in a folder, drawn if there is none yet."""
    if (folder / SETTINGS_NAME).exists():
        return settings_in(folder).get(RUN_ID)
    return f"{folder.absolute().name}-{secrets.token_hex(_ID_BYTES)}"


def open_run(
    folder: Path,
    facts: Mapping[str, Any],
    resume: bool = True,
    override: Collection[str] = (),
    processes: Processes = ALONE,
) -> Checkpoint | None:
    """Finds the checkpoint to resume from, the same in every process; None for a new run."""
    checkpoint = processes.in_turn(lambda: _open_run(folder, facts, resume, override))
    step = -1 if checkpoint is None else checkpoint.step
    newest = processes.highest(step)
    if step < newest:
        raise ResumeError(
            f"{folder}: process {processes.index} cannot read the checkpoint of step {newest} "
            "there. `output_dir` must be a folder that all machines share."
        )
    return checkpoint


def _open_run(
    folder: Path, facts: Mapping[str, Any], resume: bool, override: Collection[str]
) -> Checkpoint | None:
    remove_leftovers(folder)
    if not _files_of_run(folder):
        return None
    if not resume or not (folder / SETTINGS_NAME).is_file():
        fault = "is not a run that can be resumed" if resume else "this run exists already"
        raise ValueError(
            f"{folder}: {fault}. Give another `run_name` or `output_dir`, or remove it."
        )
    kept = folder / CHECKPOINTS_NAME
    if kept.is_dir():
        remove_leftovers(kept)
    checkpoint = newest_checkpoint(kept)
    if checkpoint is None and (folder / LOG_NAME).exists():
        raise ResumeError(
            f"{folder}: {LOG_NAME} lists epochs, but there is no checkpoint to resume from. "
            f"Bring {kept} back from a backup, or start afresh under another `run_name`."
        )
    now = facts["settings"]
    if checkpoint is None:
        _check_settings(folder, settings_in(folder), now, override)
        return None
    theirs, ours = checkpoint.progress.get(RUN_ID), run_id_of(folder)
    if theirs != ours:
        raise ResumeError(
            f"{kept}: holds a checkpoint of the run {theirs}, and {folder} is the run {ours}. "
            f"Bring back the checkpoints of {ours}. To resume {theirs}, use its own folder, or a "
            "copy of all of it."
        )
    then, backbone = checkpoint.progress["settings"], checkpoint.progress.get("backbone")
    _check_settings(folder, then, now, override)
    same_name = then.get("weights") == now["weights"]
    if same_name and backbone is not None and backbone != facts["backbone"]:
        raise ResumeError(
            f"{now['weights']}: is not the file that the run's classifier was trained on. Bring "
            "that back, or give another `run_name`."
        )
    return checkpoint


def changed_settings(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Name -> (old, new) of the settings that differ; one that did not exist had its default."""
    defaults = {each.name: each.default for each in settings()}
    names = [name for name in (*now, *(then.keys() - now.keys())) if name not in _FREE]
    pairs = {name: (then.get(name, defaults.get(name)), now.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def check_override(names: Collection[str]) -> None:
    """Raises a ValueError where a name is no setting, or one that a run cannot change."""
    allowed = [each.name for each in settings() if each.name not in _FIXED]
    wrong = [name for name in names if name not in allowed]
    expected = f"names of settings that a run can change: {', '.join(allowed)}"
    check(not wrong, "override", ",".join(wrong), expected)


def _check_settings(
    folder: Path, then: Mapping[str, Any], now: Mapping[str, Any], override: Collection[str]
) -> None:
    changed = changed_settings(then, now)
    refused = {name for name in changed if name in _FIXED or name not in override}
    if not refused:
        for name, (old, new) in changed.items():
            _log.info("%s: %s was %s and is %s from here on.", folder, name, old, new)
        return
    lines = [
        f"  `{name}` was {old}, now {new}"
        + (" (cannot change within a run)" if name in _FIXED else "")
        for name, (old, new) in changed.items()
    ]
    allowed = ",".join(name for name in changed if name not in _FIXED)
    advice = "" if refused & {*_FIXED} else f", or allow the change with `override={allowed}`"
    raise ResumeError(
        f"{folder}: the run there has other settings. Give the old ones or another "
        f"`run_name`{advice}.\n" + "\n".join(lines)
    )


def unfinished_run(output_dir: Path, config: TrainConfig, finished_name: str) -> Path | None:
    """Finds the newest run with the same settings that is neither finished nor at work."""
    now = settings_of(config)
    found = sorted(output_dir.glob(f"*/{SETTINGS_NAME}"), key=lambda path: path.stat().st_mtime)
    for folder in (path.parent for path in reversed(found)):
        if (folder / finished_name).exists() or is_busy(folder):
            continue
        with contextlib.suppress(ResumeError):
            if not changed_settings(settings_in(folder), now):
                return folder
    return None
