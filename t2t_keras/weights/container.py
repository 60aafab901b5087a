"""Whether a file is a whole PyTorch checkpoint, told without keeping its tensors.

This catches what a server or a dropped connection leaves in place of a checkpoint. It says nothing
about which model the checkpoint is of.
"""

from pathlib import Path

from t2t_keras.weights.file_kinds import LEGACY_STARTS, ZIP_START, looks_like
from t2t_keras.weights.refusal import Refusal
from t2t_keras.weights.regular_file import RegularFile
from t2t_keras.weights.stored_zip import StoredZip
from t2t_keras.weights.torch_legacy import read_legacy_checkpoint

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
    except Refusal as refusal:
        return refusal.reason
    return None
