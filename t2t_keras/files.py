"""Files that are whole or not there: digests, writing beside and renaming, a lock.

A final name never shows a half-written file: `atomic_path` gives a name beside it and renames when
everything is on disk. Errors are plain `OSError`; the caller knows which argument to name.
"""

import contextlib
import csv
import errno
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import filelock

logger = logging.getLogger(__name__)

_TOKEN_BYTES = 4
_PART = rf"(\.part-[0-9a-f]{{{2 * _TOKEN_BYTES}}}-)+"
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)  # what a file system without locks answers


def digest_of(path: Path, algorithm: str = "sha256") -> str:
    """Returns the hexadecimal digest of a file, by an algorithm that `hashlib` knows."""
    require_regular(path)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def require_regular(path: str | os.PathLike) -> None:
    """Raises an OSError for a pipe or a device, whose opening could wait forever."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise OSError(errno.EINVAL, "not a regular file; move it away", os.fspath(path))


def digest_record(path: Path) -> Path:
    """Returns the file beside `path` that holds its SHA-256, as `sha256sum -c` reads it."""
    return path.with_name(f"{path.name}.sha256")


def record_digest(path: Path) -> None:
    """Writes the SHA-256 of a file beside it."""
    write_text(digest_record(path), f"{digest_of(path)}  {path.name}\n")


def recorded_digest(path: Path) -> str | None:
    """Returns the SHA-256 kept beside `path`, or None where no readable one is."""
    if not digest_record(path).is_file():  # opening a pipe would wait forever
        return None
    try:
        with open(digest_record(path), "rb") as record:
            match = re.match(rb"[0-9a-f]{64}(?=\s)", record.read(65))
    except OSError:
        return None
    return match[0].decode("ascii") if match else None


@contextlib.contextmanager
def atomic_path(final: Path) -> Iterator[Path]:
    """Yields an unused path beside `final`, which becomes `final` when the block ends well.

    The file or folder made there is flushed to disk and renamed; after an exception it is removed
    and `final` stays as it was. A killed process leaves it there: see `remove_leftovers`. A file at
    `final` is replaced, a folder only if it is empty, a device never. An `OSError` without a file
    names `final`.
    """
    if not final.is_dir():
        require_regular(final)
    part = final.with_name(f".part-{secrets.token_hex(_TOKEN_BYTES)}-{final.name}")
    try:
        yield part
        _flush(part)
        os.replace(part, final)
        _flush_folder(final.parent)
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        # A write that fails does not say where.
        raise OSError(error.errno, error.strerror, os.fspath(final)) from error
    finally:
        _remove(part)


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 file; names of files that are not UTF-8 keep their bytes."""
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8", errors="surrogateescape")


def write_json(path: Path, value: Any) -> None:
    """Writes a value as JSON that a person can read."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_csv(path: Path, rows: Iterable[Iterable]) -> None:
    """Writes rows, of which the first is the heading."""
    with (
        atomic_path(path) as part,
        open(part, "w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        csv.writer(file).writerows(rows)


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Removes what killed writers left of the file `name` and its digest, or of all files.

    Nobody else may be writing them now.
    """
    names = ".*" if name is None else rf"{re.escape(name)}(\.sha256)?"
    for path in folder.iterdir():
        if re.fullmatch(_PART + names, path.name, re.DOTALL):
            logger.info("Removing %s, left by an interrupted run.", path)
            with contextlib.suppress(OSError):
                _remove(path)


def acquire(lock: filelock.BaseFileLock, path: Path, timeout: float = -1) -> bool:
    """Acquires a lock on `path`; False, with a warning, where the file system has no locks."""
    require_regular(lock.lock_file)
    try:
        lock.acquire(timeout=timeout)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        logger.warning("Working on %s without a lock: %s", path, error)
        return False
    return True


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Holds the lock of `path`, waiting while another process has it; False if there are no locks.

    The file `NAME.lock` beside `path` stays there; the system frees the lock of a killed process.
    """
    lock = filelock.FileLock(path.with_name(f"{path.name}.lock"))
    try:
        held = acquire(lock, path, timeout=0)
    except filelock.Timeout:
        logger.info("Waiting for another process that works on %s.", path)
        held = acquire(lock, path)
    try:
        yield held
    finally:
        lock.release()


def _flush(path: Path) -> None:
    if path.is_dir():
        for child in path.iterdir():
            _flush(child)
        _flush_folder(path)
        return
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _flush_folder(path: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Some network file systems refuse this; their renames are ordered by the server.
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
