"""The errors that users can meet, and the check of an argument, which raises a `ValueError`."""

import signal
from typing import Any


class T2TError(Exception):
    """Base of this package's errors: the message names the file or argument, the fault, the fix."""


class CheckpointError(T2TError, ValueError):
    """A checkpoint file is damaged, unsafe, or does not fit the model."""


class DownloadError(T2TError, OSError):
    """Released weights could not be fetched or stored whole."""


class DataError(T2TError, ValueError):
    """A dataset, folder or image cannot be used."""


class TrainingError(T2TError, RuntimeError):
    """A run cannot continue: its loss is not finite any more, or memory is full."""


class ResumeError(T2TError, RuntimeError):
    """A run cannot be resumed from the files in its directory."""


class ExportError(T2TError, RuntimeError):
    """A model cannot be exported to the place given."""


class RunInterrupted(KeyboardInterrupt):
    """A signal stopped a run, whose state is on disk; no `Exception`, so nothing catches it."""

    def __init__(self, number: int):
        super().__init__(f"Stopped by {signal.Signals(number).name}.")
        self.number = number


def check(holds: bool, name: str, value: Any, expected: str) -> None:
    """Raises a ValueError unless `holds`: the argument `name` must be `expected`."""
    if not holds:
        raise ValueError(f"`{name}` must be {expected}. Received: {name}={value}")
