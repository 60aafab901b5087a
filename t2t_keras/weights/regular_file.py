"""Opening a path that may be anything, and reading exact byte ranges of it."""

import hashlib
import os
import stat

from t2t_keras.weights.refusal import Refusal

MAX_FILE_BYTES = 2**32 - 1
_CHUNK_BYTES = 1 << 20
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


class RegularFile:
    """A regular file open for reading, as a context manager.

    Args:
        path: The file. Links are followed; pipes, devices and directories are not opened.

    Raises:
        Refusal: It is not a regular file, or larger than `MAX_FILE_BYTES`.
        OSError: It does not exist or may not be read.
    """

    def __init__(self, path: str | os.PathLike):
        _require_regular(os.stat(path).st_mode)
        # The path may become a pipe between the two calls: O_NONBLOCK keeps that from hanging.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        self._file = os.fdopen(os.open(path, flags), "rb", buffering=0)
        try:
            self._opened = os.fstat(self._file.fileno())
            _require_regular(self._opened.st_mode)
            if self._opened.st_size > MAX_FILE_BYTES:
                raise Refusal(
                    f"it has {self._opened.st_size} bytes; at most {MAX_FILE_BYTES} are read",
                    "Give the checkpoint of a T2T-ViT, or save only `model.state_dict()`.",
                )
        except Refusal:
            self._file.close()
            raise

    def __enter__(self) -> "RegularFile":
        return self

    def __exit__(self, *exception) -> None:
        self._file.close()

    @property
    def size(self) -> int:
        """Bytes in the file when it was opened."""
        return self._opened.st_size

    def read(self, offset: int, count: int) -> bytes:
        """Exactly `count` bytes from `offset` on."""
        buffer = bytearray(count)
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fills the whole of `buffer` (bytes) with what stands from `offset` on."""
        self._file.seek(offset)
        done = 0
        while done < len(buffer):
            count = self._file.readinto(buffer[done:])
            if not count:
                raise Refusal("it ends before the data it announces")
            done += count

    def sha256(self) -> str:
        """The digest of the whole file, as 64 lower-case hexadecimal digits."""
        digest = hashlib.sha256()
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK_BYTES):
            digest.update(chunk)
        return digest.hexdigest()

    def require_unchanged(self) -> None:
        """Refuses a file that something wrote to since it was opened."""
        now = os.fstat(self._file.fileno())
        before = self._opened
        if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise Refusal(
                "it changed while it was read", "Wait until it is written, then try again."
            )


def _require_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((words for is_kind, words in _KINDS if is_kind(mode)), "not a regular file")
        raise Refusal(
            f"it is {kind}, not a checkpoint file", "Give the path of the .pth or .pth.tar file."
        )
