"""The errors a user can meet that are not a wrong argument; a wrong argument is a `ValueError`."""

import signal
from typing import Any


class T2TError(Exception):
    """Base of this package's errors: the message names the file or flag, the fault and the fix."""


class CheckpointError(T2TError, ValueError):
    """A checkpoint file is damaged, unsafe, or does not fit the model."""


class DownloadError(T2TError, OSError):
    """Released weights could not be fetched or stored whole."""


class DataError(T2TError, ValueError):
    """A dataset, folder or image cannot be used."""


class TrainingError(T2TError, RuntimeError):
    """A run cannot go on: its loss is no number any more, or memory is full."""


class ResumeError(T2TError, RuntimeError):
    """A run cannot be continued from what its directory holds."""


class ExportError(T2TError, RuntimeError):
    """A model cannot be exported to where it was asked to go."""


class RunInterrupted(KeyboardInterrupt):
    """A signal stopped a run, whose state is on disk; no `Exception`, so that nothing catches it.

    Args:
        number: The signal's.
    """

    def __init__(self, number: int):
        super().__init__(f"Stopped by {signal.Signals(number).name}.")
        self.number = number


def check(holds: bool, name: str, value: Any, expected: str) -> None:
    """Raises the ValueError of an argument that is out of its range.

    Args:
        holds: True where the argument is as it should be.
        name: The argument's name.
        value: The argument's value.
        expected: The words that follow "must be".

    Raises:
        ValueError: `holds` is False.
    """
    if not holds:
        raise ValueError(f"`{name}` must be {expected}. Received: {name}={value}")


def require(settings: Any, name: str, holds: bool, expected: str) -> None:
    """Checks a field of `settings`; see `check`."""
    check(holds, name, getattr(settings, name), expected)
