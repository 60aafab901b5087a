"""Checkpoints on disk: a folder each, complete or not there, checked before it is used.

    checkpoints/step-00000123/state.safetensors   every variable of model, optimizer and metrics
                              best.safetensors    the best weights so far
                              progress.json       settings, history and the run's state
                              manifest.json       versions, and the SHA-256 of the others

The arrays' format holds no code, and a file that was cut or changed is refused by its digest.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import logging
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from t2t_keras.errors import CheckpointError, ResumeError, TrainingError
from t2t_keras.files import atomic_path

_log = logging.getLogger(__name__)

FORMAT = 1
CHECKPOINTS_NAME = "checkpoints"  # in the run's folder
_STATE, _BEST, _PROGRESS = "state.safetensors", "best.safetensors", "progress.json"
_FILES = (_STATE, _BEST, _PROGRESS)
_MANIFEST = "manifest.json"
_NAME = re.compile(r"step-(\d{8,})")
_KEPT = 2


@dataclasses.dataclass(frozen=True, eq=False)
class Checkpoint:
    """Everything a run needs to resume as if it had never stopped."""

    step: int  # batches trained on, over all epochs
    state: Mapping[str, np.ndarray]  # every variable; see `variables`
    best: Mapping[str, np.ndarray]  # the best weights so far; empty before there are any
    progress: Mapping[str, Any]  # the rest, as JSON

    @property
    def nbytes(self) -> int:
        """Size of the arrays."""
        return sum(array.nbytes for group in (self.state, self.best) for array in group.values())


class _OtherFormatError(CheckpointError):
    """A checkpoint is intact, but another version of this package wrote it."""


def checkpoint_path(folder: Path, step: int) -> Path:
    """Path of the checkpoint of a step."""
    return folder / f"step-{step:08d}"


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint to disk, then renames it; one of the same step is replaced."""
    path = checkpoint_path(folder, checkpoint.step)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as part:
            replaced = part.with_name(f"{part.name}-replaced")
            with atomic_path(part) as written:
                written.mkdir()
                _write_files(written, checkpoint)
            if path.exists():  # it stays until the new one is on disk
                path.rename(replaced)
        shutil.rmtree(replaced, ignore_errors=True)
    except OSError as error:
        free = shutil.disk_usage(folder).free if folder.exists() else 0
        raise TrainingError(
            f"{folder}: the checkpoint of step {checkpoint.step} cannot be written ({error}). It "
            f"needs {checkpoint.nbytes:,} bytes, and {free:,} are free. The checkpoints there are "
            "intact: make room and start the same command again."
        ) from error


def _write_files(part: Path, checkpoint: Checkpoint) -> None:
    contents = {
        _STATE: safetensors.numpy.save(dict(checkpoint.state)),
        _BEST: safetensors.numpy.save(dict(checkpoint.best)),
        _PROGRESS: json.dumps({"step": checkpoint.step, **checkpoint.progress}).encode(),
    }
    manifest = {
        "format": FORMAT,
        "t2t_keras": importlib.metadata.version("t2t_keras"),
        "files": {name: _digest(content) for name, content in contents.items()},
    }
    manifest["sha256"] = _digest(_canonical(manifest))
    contents[_MANIFEST] = json.dumps(manifest, indent=2).encode()
    for name, content in contents.items():
        (part / name).write_bytes(content)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _canonical(manifest: Mapping[str, Any]) -> bytes:
    return json.dumps(manifest, sort_keys=True).encode()


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint, after checking its manifest and every digest."""
    try:
        _check_manifest(manifest := json.loads((path / _MANIFEST).read_bytes()))
        state, best, progress = (_checked(path / name, manifest) for name in _FILES)
        progress = json.loads(progress)
        step = progress.pop("step")
        if path != checkpoint_path(path.parent, step):
            raise CheckpointError(f"it holds step {step}")
        return Checkpoint(
            step, safetensors.numpy.load(state), safetensors.numpy.load(best), progress
        )
    except _OtherFormatError as error:
        raise _OtherFormatError(f"{path}: {error}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise CheckpointError(f"{path}: is damaged or incomplete ({error}).") from error


def _check_manifest(manifest: dict[str, Any]) -> None:
    if manifest.pop("sha256") != _digest(_canonical(manifest)):
        raise CheckpointError(f"{_MANIFEST} was changed")
    if manifest["format"] != FORMAT:
        raise _OtherFormatError(
            f"was written by t2t_keras {manifest['t2t_keras']} in format {manifest['format']}, "
            f"and this version reads format {FORMAT}. Resume with that version."
        )


def _checked(path: Path, manifest: Mapping[str, Any]) -> bytes:
    content = path.read_bytes()
    if _digest(content) != manifest["files"][path.name]:
        raise CheckpointError(f"{path.name} was changed")
    return content


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """Reads the newest intact checkpoint, warning of newer ones; None if there never was one."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    for path in reversed(_by_step(folder).values()):
        try:
            return read_checkpoint(path)
        except _OtherFormatError as error:
            raise ResumeError(str(error)) from error
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
            shutil.rmtree(path, ignore_errors=True)


def _by_step(folder: Path) -> dict[int, Path]:
    """Step -> path of its checkpoint, the oldest first."""
    named = [(match, path) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    return dict(sorted((int(match[1]), path) for match, path in named))
