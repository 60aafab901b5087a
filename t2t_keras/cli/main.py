"""How a command ends: a result and exit code 0, or one clear line and another code."""

import logging
import re
import sys
from collections.abc import Callable, Collection
from typing import TextIO

import absl.logging

from t2t_keras.errors import RunInterrupted, T2TError

EXPECTED_ERRORS = (T2TError, ValueError, OSError)
_SIGNALLED = 128  # shells expect this and the signal's number
_INTERRUPTED = 130  # after Ctrl-C


def echo(text: str) -> None:
    """Writes a line of a command's result to standard output."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def show_log(stream: TextIO) -> None:
    """Shows our own messages, plainly, in the order of Keras' progress; of others warnings only."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger("t2t_keras")
    log.handlers = [handler]
    log.propagate = False
    log.setLevel(logging.INFO)
    logging.getLogger("tensorflow").setLevel(logging.WARNING)
    absl.logging.set_verbosity(absl.logging.WARNING)  # it undoes what its logger is told


def exit_code(work: Callable[[], int], debug: bool, settings: Collection[str] = ()) -> int:
    """Runs a command's work and turns an error that a user can mend into one line.

    Args:
        work: Returns the exit code.
        debug: Let such an error through, with its traceback.
        settings: Names that messages speak of as arguments, and that are flags here.
    """
    try:
        return work()
    except EXPECTED_ERRORS as error:
        if debug:
            raise
        sys.stderr.write(f"error: {_as_flags(str(error), settings)}\n(--debug shows where)\n")
        return 1
    except RunInterrupted as stopped:
        sys.stderr.write(f"\n{stopped}\n")
        return _SIGNALLED + stopped.number
    except KeyboardInterrupt:
        if debug:
            raise
        sys.stderr.write("\ninterrupted: the work is not complete\n")
        return _INTERRUPTED


def _as_flags(message: str, settings: Collection[str]) -> str:
    """A message with `name`, `name=value` and, behind "Received: ", name=value as flags."""
    if not settings:
        return message
    names = "|".join(settings)
    text, received, values = message.partition("Received: ")
    text = re.sub(rf"`((?:{names})(?:=[^`]*)?)`", r"--\1", text)
    return text + received + re.sub(rf"(^|, )(?=(?:{names})=)", r"\1--", values)
