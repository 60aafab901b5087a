"""Files that are whole or not there: digests, write beside and rename, a lock between processes.

A final name never shows a half-written file: `atomic_path` gives a name beside it and renames when
everything is on disk. Errors are plain `OSError`; the caller knows which folder and flag to name.
"""

import contextlib
import hashlib
import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # not a POSIX system: the rename alone keeps files whole there
    fcntl = None

logger = logging.getLogger(__name__)

_TOKEN_BYTES = 4


def digest_of(path: Path, algorithm: str = "sha256") -> str:
    """Returns the hexadecimal digest of a file, read in pieces.

    Args:
        path: The file.
        algorithm: A name `hashlib` knows, such as "sha256" or "sha384".

    Raises:
        OSError: The file cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def digest_record(path: Path) -> Path:
    """Returns where the SHA-256 of `path` is kept: beside it, as `sha256sum -c` reads it."""
    return path.with_name(f"{path.name}.sha256")


def record_digest(path: Path) -> None:
    """Keeps the SHA-256 of a file beside it.

    Raises:
        OSError: The file cannot be read or its record not written.
    """
    line = f"{digest_of(path)}  {path.name}\n"
    with atomic_path(digest_record(path)) as record:
        record.write_text(line, encoding="utf-8")


def recorded_digest(path: Path) -> str | None:
    """Returns the SHA-256 kept beside `path`, or None where there is none (or no readable one)."""
    try:
        with open(digest_record(path), "rb") as record:
            found = re.match(rb"[0-9a-f]{64}(?=\s)", record.read(65))
    except OSError:
        return None
    return found[0].decode("ascii") if found else None


@contextlib.contextmanager
def atomic_path(final: Path) -> Iterator[Path]:
    """Yields an unused path beside `final`, which becomes `final` when the block ends well.

    What the block made there, a file or a folder, is flushed to disk and renamed; after an
    exception it is removed and `final` stays as it was. A killed process leaves it behind, as
    `.part-XXXXXXXX-NAME`: see `remove_leftovers`. The name ends like `final`'s, suffix included.

    Args:
        final: Where the result goes. A file there is replaced, a folder only if it is empty.

    Raises:
        OSError: Nothing was made there, or it cannot be written, flushed or renamed; it names a
            file, `final` where the block's own error names none.
    """
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


def remove_leftovers(final: Path) -> None:
    """Removes what killed writers of `final`, or of its digest, left beside it.

    Call it where no other process can be writing `final`: inside `locked(final)` when that
    yields True.
    """
    prefix = rf"(\.part-[0-9a-f]{{{2 * _TOKEN_BYTES}}}-)+"
    name = re.compile(rf"{prefix}{re.escape(final.name)}(\.sha256)?")
    for path in final.parent.iterdir():
        if name.fullmatch(path.name):
            logger.info("Removing %s, left by an interrupted run.", path)
            with contextlib.suppress(OSError):
                _remove(path)


def remove_all_leftovers(folder: Path) -> None:
    """Removes what killed writers left in a folder that no other process is writing to."""
    for path in folder.glob(f".part-{'[0-9a-f]' * 2 * _TOKEN_BYTES}-*"):
        logger.info("Removing %s, left by an interrupted run.", path)
        _remove(path)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Holds the lock of `path` against other processes and threads; waits while one has it.

    The lock is the file `NAME.lock` beside `path`. It is never removed, because a process could be
    waiting on it; the system frees the lock of a killed process.

    Yields:
        True if the lock is held, False where the system or file system has no locks.

    Raises:
        OSError: The lock file cannot be created.
    """
    with open(path.with_name(f"{path.name}.lock"), "ab") as lock:
        yield _acquire(lock.fileno(), path)


def try_lock(descriptor: int, path: Path) -> bool:
    """Locks an open file, until it is closed, unless another process has it locked.

    Args:
        descriptor: Of the open file.
        path: What it stands for, in a warning where the system or file system has no locks; that
            counts as locked.
    """
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        logger.warning("Working on %s without a lock: %s", path, error)
    return True


def _acquire(descriptor: int, path: Path) -> bool:
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        logger.info("Waiting for another process that works on %s.", path)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        logger.warning("Working on %s without a lock: %s", path, error)
        return False
    return True


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
