"""SIGTERM and Ctrl-C: a run stops at a moment when nothing is lost."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from t2t_keras.errors import RunInterrupted, T2TError

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Libraries turn an exception in the middle of their work into one of these.
_OTHER_ERRORS = (RuntimeError, TypeError, ValueError, AttributeError, LookupError)


class StopSignals:
    """Remembers the first signal to stop; a second one ends the process at once.

    Attributes:
        asked: The signal, once there was one.
        deferred: While True, a signal is only remembered, for the last steps are not on disk yet.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self.deferred = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handles signals inside; only the main thread can, and in others nothing changes."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._heard) for number in _SIGNALS}
        try:
            yield
        except T2TError:
            raise
        except _OTHER_ERRORS as error:
            if self.asked is not None and not self.deferred:
                raise RunInterrupted(self.asked) from error
            raise
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def raise_if_asked(self) -> None:
        """Raises a RunInterrupted if there was a signal."""
        if self.asked is not None:
            raise RunInterrupted(self.asked)

    def _heard(self, number: int, frame: Any) -> None:
        self.asked = number
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        if not self.deferred:
            self.raise_if_asked()
