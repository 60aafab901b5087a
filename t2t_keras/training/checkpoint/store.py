"""Checkpoints on disk: a file each, whole or not there, checked before it is used.

`checkpoints/step-00000123.safetensors` holds every variable of model, optimizer and metrics, under
"best/" the best weights so far, and as metadata a run's settings, history and state, with a SHA-256
of all of them. The format holds no code.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import logging
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from t2t_keras.errors import CheckpointError, ResumeError, TrainingError
from t2t_keras.files import atomic_path, require_regular
from t2t_keras.weights.formats import parse_safetensors

_log = logging.getLogger(__name__)

FORMAT = 1
CHECKPOINTS_NAME = "checkpoints"  # in the run's folder
_NAME = re.compile(r"step-(\d{8,})\.safetensors")
_BEST = "best/"
_KEPT = 2


class Checkpoint(NamedTuple):
    """Everything a run needs to resume as if it had never stopped."""

    step: int  # batches trained on, over all epochs
    state: Mapping[str, np.ndarray]  # every variable; see `variables`
    best: Mapping[str, np.ndarray]  # the best weights so far; empty before there are any
    progress: Mapping[str, Any]  # the rest, as JSON


def checkpoint_path(folder: Path, step: int) -> Path:
    """Path of the checkpoint of a step."""
    return folder / f"step-{step:08d}.safetensors"


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint to disk, then renames it; one of the same step is replaced."""
    best = {f"{_BEST}{key}": array for key, array in checkpoint.best.items()}
    arrays = {**checkpoint.state, **best}
    version = importlib.metadata.version("t2t_keras")
    rest = {"step": checkpoint.step, "progress": checkpoint.progress}
    facts = json.dumps({"format": FORMAT, "t2t_keras": version, **rest})
    metadata = {"facts": facts, "sha256": _digest(arrays, facts)}
    content = safetensors.numpy.save(arrays, metadata)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(checkpoint_path(folder, checkpoint.step)) as part:
            part.write_bytes(content)
    except OSError as error:
        free = shutil.disk_usage(folder).free if folder.exists() else 0
        raise TrainingError(
            f"{folder}: the checkpoint of step {checkpoint.step} cannot be written ({error}). It "
            f"needs {len(content):,} bytes, and {free:,} are free. The checkpoints there are "
            "intact: make room and start the same command again."
        ) from error


def _digest(arrays: Mapping[str, np.ndarray], facts: str) -> str:
    digest = hashlib.sha256(facts.encode())
    for key, array in sorted(arrays.items()):
        digest.update(f"{key} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint, after checking its digest."""
    try:
        require_regular(path)
        arrays, metadata = parse_safetensors(path.read_bytes())
        if metadata["sha256"] != _digest(arrays, metadata["facts"]):
            raise CheckpointError("it was changed")
        facts = json.loads(metadata["facts"])
        if facts["format"] == FORMAT and path != checkpoint_path(path.parent, facts["step"]):
            raise CheckpointError(f"it holds step {facts['step']}")
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"{path}: is damaged or incomplete ({error}).") from error
    if facts["format"] != FORMAT:
        raise ResumeError(
            f"{path}: was written by t2t_keras {facts['t2t_keras']} in format {facts['format']}, "
            f"and this version reads format {FORMAT}. Resume with that version."
        )
    best = {key.removeprefix(_BEST): arrays.pop(key) for key in [*arrays] if key.startswith(_BEST)}
    return Checkpoint(facts["step"], arrays, best, facts["progress"])


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """Reads the newest intact checkpoint, warning of newer ones; None if there never was one."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    for path in reversed(_by_step(folder).values()):
        try:
            return read_checkpoint(path)
        except CheckpointError as error:
            _log.warning("%s Going back to the one before it.", error)
    raise ResumeError(
        f"{folder}: holds no intact checkpoint, so this run cannot resume. Bring one back from a "
        "backup, or start afresh under another `run_name`."
    )


def prune_checkpoints(folder: Path, step: int, best_step: int | None) -> None:
    """Removes all but the last two up to `step` and the best; later ones are damaged."""
    steps = _by_step(folder)
    kept = {best_step, *[number for number in steps if number <= step][-_KEPT:]}
    for number, path in steps.items():
        if number not in kept:
            with contextlib.suppress(OSError):
                path.unlink()


def _by_step(folder: Path) -> dict[int, Path]:
    """Step -> path of its checkpoint, the oldest first."""
    named = [(match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    return dict(sorted((int(match[1]), path) for match, path in named))
