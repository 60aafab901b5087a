"""Reading PyTorch checkpoints without PyTorch, and without trusting them."""

import os
import re
from pathlib import Path

from t2t_keras.errors import CheckpointError
from t2t_keras.weights.torch_reader.file_kinds import (
    LEGACY_STARTS,
    ZIP_START,
    InvalidCheckpoint,
    looks_like,
)
from t2t_keras.weights.torch_reader.formats import read_legacy_checkpoint, read_zip_checkpoint
from t2t_keras.weights.torch_reader.stored_zip import RegularFile, StoredZip

_HEAD_BYTES = 512


def container_defect(path: Path) -> str | None:
    """Returns what keeps a file from being a whole checkpoint, as a clause with "it", or None.

    A zip must be complete and all its checksums right. The format torch had before 1.6 has no
    checksums; it must be complete.

    Raises:
        OSError: The file cannot be read.
    """
    try:
        with RegularFile(path) as file:
            head = file.read(0, min(file.size, _HEAD_BYTES))
            if head.startswith(ZIP_START):
                archive = StoredZip(file, pinned=False)
                for name in archive.records:
                    archive.verify(name)
            elif head.startswith(LEGACY_STARTS):
                read_legacy_checkpoint(file)
            elif head:
                return f"it is not a PyTorch checkpoint (it looks like {looks_like(head)})"
            else:
                return "it is empty"
    except InvalidCheckpoint as refusal:
        return refusal.reason
    return None


_DIGEST = re.compile(r"[0-9a-f]{64}")


def read_torch_checkpoint(path: str | os.PathLike, sha256: str | None = None) -> object:
    """Reads what `torch.save` wrote, both the zip format and the stream before PyTorch 1.6.

    A file cannot make this run code, hang, or use much memory beyond its tensors (64 MiB): the
    pickle inside goes through an own opcode loop that knows a short list of names.

    Args:
        path: The checkpoint: a regular file below 4 GiB, commonly .pth, .pth.tar or .pt.
        sha256: The digest the file must have, 64 hexadecimal digits; it is verified first. Give
            it wherever it is known: the old stream has no checksum of its own.

    Returns:
        What was saved: dicts, lists, tuples, numbers, text, and tensors as read-only
        `numpy.ndarray`s. bfloat16 becomes float32, other dtypes stay. Tensors that shared a
        storage share memory. An `argparse.Namespace` becomes an inert `OpaqueObject`.

    Raises:
        CheckpointError: The file is missing, damaged, unsafe or of another kind, holds dtypes
            that are not read (int8, complex, quantized, sparse), or has another digest.
        ValueError: `sha256` is not a SHA-256.
    """
    if sha256 is not None and not _DIGEST.fullmatch(sha256.lower()):
        raise ValueError(f"`sha256` must be 64 hexadecimal digits. Received: sha256={sha256!r}")
    try:
        with RegularFile(path) as file:
            if sha256 is not None:
                _require_digest(file, sha256.lower())
            value = _read(file, pinned=sha256 is not None)
            file.require_unchanged()
            return value
    except InvalidCheckpoint as refusal:
        reason, fix = refusal.reason, refusal.fix
    except OSError as error:
        reason, fix = f"it cannot be read ({error.strerror})", "Check the path and its permissions."
    except MemoryError:
        reason, fix = "it needs more memory than there is", "Free memory, or use another machine."
    raise CheckpointError(f"Checkpoint {_printable(path)}: {reason}. {fix}")


def _require_digest(file: RegularFile, expected: str) -> None:
    found = file.sha256()
    if found != expected:
        raise InvalidCheckpoint(f"its SHA-256 is {found}, expected {expected}")


def _read(file: RegularFile, pinned: bool) -> object:
    head = file.read(0, min(file.size, _HEAD_BYTES))
    if head.startswith(ZIP_START):
        return read_zip_checkpoint(file, pinned)
    if head.startswith(LEGACY_STARTS):
        return read_legacy_checkpoint(file)
    if not head:
        raise InvalidCheckpoint("it is empty")
    raise InvalidCheckpoint(f"it is not a PyTorch checkpoint (looks like {looks_like(head)})")


def _printable(path: str | os.PathLike) -> str:
    text = os.fsdecode(path)
    return text if text.isprintable() else ascii(text)
