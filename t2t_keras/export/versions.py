"""Numbered folders of one model: each whole or not there, and never changed."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from t2t_keras.errors import ExportError
from t2t_keras.files import atomic_path, locked, remove_leftovers

_LOCKED = ".export"  # what stands for "an export into this folder"


def next_version(folder: Path) -> int:
    """The lowest version above all in `folder`, which need not exist; 1 where there is none."""
    names = os.listdir(folder) if folder.is_dir() else []
    return max((int(name) for name in names if name.isascii() and name.isdecimal()), default=0) + 1


@contextlib.contextmanager
def new_version(folder: Path, version: int | None) -> Iterator[tuple[Path, Path]]:
    """A place to write a version in; it gets its number when the block ends well.

    Exports into one folder wait for each other. What a killed one left of this version is removed.

    Args:
        folder: Made where it is missing.
        version: At least 1; None is the next free one.

    Yields:
        The path to write to, and the one it will have.

    Raises:
        ExportError: The version exists already, or the folder cannot be written to.
        ValueError: `version` is below 1.
    """
    if version is not None and version < 1:
        raise ValueError(f"`version` must be at least 1. Received: version={version}")
    refuse_existing(folder, version)
    target = folder / (str(version) if version is not None else "VERSION")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / _LOCKED) as held:
            refuse_existing(folder, version)  # another export may have come before
            target = folder / str(next_version(folder) if version is None else version)
            if held:
                remove_leftovers(target)
            with atomic_path(target) as part:
                yield part, target
    except OSError as error:
        raise ExportError(
            f"{target}: cannot be written ({error}). Nothing is left there: make room, or export "
            "to another folder."
        ) from error


def refuse_existing(folder: Path, version: int | None) -> None:
    """Raises an ExportError where that version is there already."""
    if version is not None and (folder / str(version)).exists():
        raise ExportError(
            f"{folder / str(version)}: exists already, and a version never changes. Export to "
            f"another version; {next_version(folder)} is free."
        )
