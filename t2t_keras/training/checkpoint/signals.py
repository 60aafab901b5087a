"""SIGTERM and Ctrl-C: a run stops at a moment when nothing is lost."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from t2t_keras.errors import RunInterrupted, T2TError

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# What Keras and TensorFlow may raise instead, when an exception comes in the middle of their work.
_OTHER_ERRORS = (RuntimeError, TypeError, ValueError, AttributeError, LookupError)


class StopSignals:
    """Remembers the first signal to stop; a second one ends the process at once."""

    def __init__(self) -> None:
        self.received: int | None = None  # the signal; only the handler writes it
        self.deferred = False  # True while the last steps are not on disk: a signal waits

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handles signals inside; only the main thread can, and in others nothing changes."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        try:
            yield
        except T2TError:
            raise
        except _OTHER_ERRORS as error:
            if self.received is not None and not self.deferred:
                raise RunInterrupted(self.received) from error
            raise
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop_deferring(self) -> None:
        """Lets signals interrupt from here on; raises a RunInterrupted if there was one."""
        self.deferred = False
        if self.received is not None:
            raise RunInterrupted(self.received)

    def _handle(self, number: int, frame: Any) -> None:
        self.received = number
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        if not self.deferred:
            raise RunInterrupted(number)
