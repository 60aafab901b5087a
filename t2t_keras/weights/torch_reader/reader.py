"""The entry points: from a path to the values of a checkpoint, or to one clear error."""

import os
import re
from collections.abc import Callable
from typing import Any, TypeVar

from t2t_keras.errors import CheckpointError, check
from t2t_keras.weights.torch_reader.formats import read_legacy_checkpoint, read_zip_checkpoint
from t2t_keras.weights.torch_reader.invalid import InvalidCheckpoint, require
from t2t_keras.weights.torch_reader.regular_file import RegularFile, looks_like

_ZIP_START = b"PK\x03\x04"  # torch.save since 1.6
# The stream before it: pickle protocols 2 and up, and 1, which writes its magic number as text.
_LEGACY_STARTS = (b"\x80", b"L119547037146038801333356L")
_HEAD_BYTES = 512
T = TypeVar("T")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def _read(path: str | os.PathLike, sha256: str | None) -> Any:
    with RegularFile(path) as file:
        if sha256 is not None:
            found, expected = file.sha256(), sha256.lower()
            require(found == expected, f"its SHA-256 is {found}, expected {expected}")
        head = file.read(0, min(file.size, _HEAD_BYTES))
        require(bool(head), "it is empty")
        if head.startswith(_ZIP_START):
            value = read_zip_checkpoint(file, pinned=sha256 is not None)
        elif head.startswith(_LEGACY_STARTS):
            value = read_legacy_checkpoint(file)
        else:
            raise InvalidCheckpoint(
                f"it is not a PyTorch checkpoint (it looks like {looks_like(head)})"
            )
        file.require_unchanged()
        return value


def checkpoint_defect(path: str | os.PathLike) -> str | None:
    """Reads a whole checkpoint and returns what is wrong, as a clause with "it", or None."""
    try:
        _read(path, None)
    except InvalidCheckpoint as error:
        return error.reason
    return None


def read_torch_checkpoint(path: str | os.PathLike, sha256: str | None = None) -> Any:
    """Reads a file that `torch.save` wrote, in the zip format or the stream before PyTorch 1.6.

    A file cannot make this run code, hang, or use much memory beyond its tensors (64 MiB): the
    pickle inside goes through an opcode loop of our own that knows a short list of names.

    Args:
        path: A regular file below 4 GiB, commonly .pth, .pth.tar or .pt.
        sha256: The file's digest, verified first: the old stream has no checksum of its own.

    Returns:
        The saved value: dicts, lists, tuples, numbers, text, and tensors as read-only arrays.
        bfloat16 becomes float32, other dtypes stay. Tensors that shared a storage share memory. An
        `argparse.Namespace` becomes an inert `OpaqueObject`.

    Raises:
        CheckpointError: The file is missing, damaged, unsafe or of another kind, holds dtypes
            that are not read (int8, complex, quantized, sparse), or has another digest.
        ValueError: `sha256` is not a SHA-256.
    """
    is_digest = sha256 is None or _DIGEST.fullmatch(sha256.lower()) is not None
    check(is_digest, "sha256", sha256, "64 hexadecimal digits")
    return _explained(path, "Checkpoint ", lambda: _read(path, sha256))


def read_whole(path: str | os.PathLike) -> bytes:
    """Reads a file of another kind into memory, refusing it while something writes to it."""

    def read() -> bytes:
        with RegularFile(path) as file, file.unchanging():
            return file.read(0, file.size)

    return _explained(path, "", read)


def _explained(path: str | os.PathLike, kind: str, read: Callable[[], T]) -> T:
    """Returns what `read` does, or raises its error as a CheckpointError that names the path."""
    try:
        return read()
    except InvalidCheckpoint as error:
        reason, fix = error.reason, error.fix
    except OSError as error:
        reason, fix = f"it cannot be read ({error.strerror})", "Check the path and its permissions."
    except MemoryError:
        reason, fix = "it needs more memory than there is", "Free memory, or use another machine."
    name = os.fsdecode(path)
    shown = name if name.isprintable() else ascii(name)
    raise CheckpointError(f"{kind}{shown}: {reason}. {fix}")
