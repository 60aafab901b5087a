"""What is said about the batch at which a run stopped."""

from collections.abc import Sequence
from pathlib import Path

from t2t_keras.files import atomic_path

BATCH_NAME = "stopped_at_batch.txt"
_SHOWN = 3


def blame(names: Sequence[str], folder: Path, last_checkpoint: Path | None) -> str:
    """Names a batch's pictures, and where the run could go on from.

    Args:
        names: Of the pictures; the file gets all of them, the sentence the first few.
        folder: The run's; gets `stopped_at_batch.txt`.
        last_checkpoint: None where there is none yet.
    """
    path = folder / BATCH_NAME
    with atomic_path(path) as part:
        part.write_bytes(b"".join(_line(name) for name in names))
    more = f" and {len(names) - _SHOWN} more, all in {path}" if len(names) > _SHOWN else ""
    kept = "there is no checkpoint yet" if last_checkpoint is None else f"it is {last_checkpoint}"
    return (
        f"The batch: {', '.join(names[:_SHOWN])}{more}. Nothing was kept of this step; "
        f"the last good checkpoint: {kept}."
    )


def _line(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape") + b"\n"
