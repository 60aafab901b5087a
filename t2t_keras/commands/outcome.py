"""How a command ends: a result and exit code 0, or one clear line and another code."""

import sys
from collections.abc import Callable

from t2t_keras.errors import RunInterrupted, T2TError

EXPECTED_ERRORS = (T2TError, ValueError, OSError)
_SIGNALLED = 128  # shells expect this and the signal's number
_INTERRUPTED = 130  # after Ctrl-C


def say(text: str) -> None:
    """Writes a line of a command's result to standard output."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def exit_code(work: Callable[[], int], debug: bool) -> int:
    """Runs a command's work and turns an error that a user can mend into one line.

    Args:
        work: Returns the exit code.
        debug: Let such an error through, with its traceback.
    """
    try:
        return work()
    except EXPECTED_ERRORS as error:
        if debug:
            raise
        sys.stderr.write(f"error: {error}\n(--debug shows where)\n")
        return 1
    except RunInterrupted as stopped:
        sys.stderr.write(f"\n{stopped}\n")
        return _SIGNALLED + stopped.number
    except KeyboardInterrupt:
        if debug:
            raise
        sys.stderr.write("\ninterrupted: the work is not complete\n")
        return _INTERRUPTED
