"""Opening a path that may be anything, and guessing what a file is that is no checkpoint."""

import contextlib
import hashlib
import os
import signal
import stat
import sys
import time
from collections.abc import Iterator

from t2t_keras.weights.torch_reader.invalid import InvalidCheckpoint, require

if sys.platform == "linux":
    import fcntl

MAX_FILE_BYTES = 2**32 - 1
_KINDS = {
    "d": "a directory",
    "p": "a named pipe",
    "c": "a device",
    "b": "a device",
    "s": "a socket",
}
_CHANGED = ("it changed while it was read", "Wait until it is written, then try again.")
_TICK = 0.02  # seconds; the clock that stamps files is not finer everywhere
_QUIET = 0.5  # seconds since the last write, after which a file is taken for whole
_TAR_MARK_AT = 257
_HTML = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<script")
_STARTS = (
    (b"version https://git-lfs", "a git-lfs pointer, so the data itself was not fetched"),
    (
        (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!"),
        "a compressed file, to be unpacked",
    ),
    (b"\x89HDF", "an HDF5 file, such as Keras' .h5"),
    (b"\x93NUMPY", "a NumPy .npy file"),
    ((b"\x89PNG", b"\xff\xd8\xff"), "an image"),
    (b"{", "JSON"),
)


class RegularFile:
    """A regular file open for reading, as a context manager; pipes and devices are not opened."""

    def __init__(self, path: str | os.PathLike):
        _require_regular(os.stat(path).st_mode)
        # The path may become a pipe between the two calls: O_NONBLOCK keeps that from hanging.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        self._file = os.fdopen(os.open(path, flags), "rb", buffering=0)
        self._opened = os.fstat(self._file.fileno())
        self.size = self._opened.st_size
        try:
            _require_regular(self._opened.st_mode)
            require(
                self.size <= MAX_FILE_BYTES,
                f"it has {self.size} bytes; at most {MAX_FILE_BYTES} are read",
                "Give the checkpoint of a T2T-ViT, or save only `model.state_dict()`.",
            )
        except InvalidCheckpoint:
            self._file.close()
            raise

    def __enter__(self) -> "RegularFile":
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def read(self, offset: int, count: int) -> bytes:
        """Returns exactly `count` bytes from `offset` on."""
        buffer = bytearray(count)
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fills the whole of `buffer` (bytes) from `offset` on."""
        self._file.seek(offset)
        done = 0
        while done < len(buffer):
            count = self._file.readinto(buffer[done:])
            require(bool(count), "it ends before the data it announces")
            done += count

    def sha256(self) -> str:
        """Returns the digest of the whole file, as 64 lower-case hexadecimal digits."""
        self._file.seek(0)
        return hashlib.file_digest(self._file, "sha256").hexdigest()

    def require_unchanged(self) -> None:
        """Refuses a file that something wrote to since it was opened."""
        before, now = self._opened, os.fstat(self._file.fileno())
        same = (now.st_size, now.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
        require(same, *_CHANGED)

    @contextlib.contextmanager
    def unchanging(self, known: bytes = b"") -> Iterator[None]:
        """Refuses a file, which starts with `known`, that something writes to inside."""
        written, number = self._opened.st_mtime, self._file.fileno()
        while 0 <= (age := time.time() - written) < _QUIET and (age < _TICK or _in_use(number)):
            time.sleep(0.001)
        require(self.read(0, len(known)) == known, *_CHANGED)
        yield
        self.require_unchanged()


def _in_use(descriptor: int) -> bool:
    """Returns False where nobody has a file open for writing, which only Linux tells its owner."""
    if sys.platform != "linux":
        return True
    try:  # A lease is given for such a file alone; it goes back before anybody has to wait for it.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)  # ignored, unlike SIGIO
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return True
    return False


def _require_regular(mode: int) -> None:
    kind = _KINDS.get(stat.filemode(mode)[0], "not a regular file")
    require(
        stat.S_ISREG(mode),
        f"it is {kind}, not a file of weights",
        "Give the path of such a file.",
    )


def looks_like(head: bytes) -> str:
    """Guesses from a file's first 512 bytes what it is."""
    if head[_TAR_MARK_AT : _TAR_MARK_AT + 5] == b"ustar":
        return "a tar archive: PyTorch's format before 0.2, or a packed folder"
    if head.lstrip().lower().startswith(_HTML):
        return "HTML, a web page in place of the file"
    if head[8:9] == b"{" and head[1:8].endswith(b"\0\0\0\0"):
        return "a safetensors file"
    for start, words in _STARTS:
        if head.startswith(start):
            return words
    if not head.strip(b"\0"):
        return "nothing but zeros"
    return "text" if head.isascii() and head.decode("ascii").isprintable() else "unknown data"
