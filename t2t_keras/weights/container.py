"""Whether a file is a whole PyTorch checkpoint, judged by its bytes and without reading tensors.

This catches what a server or a dropped connection leaves in place of a checkpoint. It says nothing
about what the checkpoint holds: that is the reader's part.
"""

from pathlib import Path

from t2t_keras.weights.refusal import Refusal
from t2t_keras.weights.regular_file import RegularFile
from t2t_keras.weights.stored_zip import StoredZip

_ZIP_START = b"PK\x03\x04"
# Pickle protocol 2, then torch's magic number 0x1950a86a20f9469cfc6c.
_LEGACY_START = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
_HTML_STARTS = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")


def container_defect(path: Path, *, whole: bool = True) -> str | None:
    """Returns what keeps a file from being a whole checkpoint, as a clause with "it", or None.

    A zip must be complete and all its checksums right. Of the format torch had before 1.6, which
    has neither a table of contents nor checksums, only the beginning can be judged.

    Args:
        path: The file.
        whole: Whether it is known that nothing is cut off, so that the older format may do.

    Raises:
        OSError: The file cannot be read.
    """
    try:
        with RegularFile(path) as file:
            start = file.read(0, min(file.size, 256))
            if start.startswith(_ZIP_START):
                archive = StoredZip(file, pinned=False)
                for name, record in archive.records.items():
                    archive.read(name, limit=record.size)
                return None
    except Refusal as refusal:
        return refusal.reason
    if start.startswith(_LEGACY_START):
        return None if whole else "it came without a length, so nothing tells whether it is whole"
    return _description(start)


def _description(start: bytes) -> str:
    if not start:
        return "it is empty"
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_HTML_STARTS):
        return "it is not a PyTorch checkpoint (it looks like an HTML page)"
    return "it is not a PyTorch checkpoint"
