"""The program `t2t-keras`: from a command line to an exit code."""

import errno
import importlib
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

import absl.logging
from absl import flags

from t2t_keras.cli.flags import COMMANDS, help_of, overview, parse
from t2t_keras.errors import RunInterrupted, T2TError

EXPECTED_ERRORS = (T2TError, ValueError, OSError)
_HELP = {"-h", "-help", "--help"}
_WRONG_USAGE = 2
_INTERRUPTED = 130  # after Ctrl-C
_SIGNALED = 128  # shells expect this plus the signal's number
_OUTPUTS = ("output_dir", "target", "output")  # a command has one of them, or writes nothing
_NO_WRITING = {  # number of an error -> what to do about it
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "Make room on that disk"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "Make that folder writable"),
}
_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    # TensorFlow keeps the memory of batches, which the system otherwise clears anew for each.
    "TF_CPU_ALLOCATOR_USE_BFC": "1",
}


def echo(text: str) -> None:
    """Writes a line of a command's result to standard output."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def program() -> list[str]:
    """Returns the words that start this program again, without arguments."""
    started = sys.argv[0]
    if os.path.basename(started) == "__main__.py":
        return [os.path.relpath(sys.executable), "-m", __package__.partition(".")[0]]
    return [os.path.relpath(sys.executable), started] if started.endswith(".py") else [started]


def as_flags(message: str, shown: Mapping[str, str]) -> str:
    """Rewrites `name`, `name=value` and, after "Received: ", name=value as the command has them."""
    names = "|".join(shown)
    text, received, values = message.partition("Received: ")
    text = re.sub(rf"`({names})(=[^`]*)?`", lambda found: shown[found[1]] + (found[2] or ""), text)
    values = re.sub(rf"(^|, )({names})(?==)", lambda found: found[1] + shown[found[2]], values)
    return text + received + values


def _show_log(stream: TextIO) -> None:
    """Shows this package's messages, in the order of Keras' progress; of others only warnings."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger("t2t_keras")
    log.handlers = [handler]
    log.propagate = False
    log.setLevel(logging.INFO)
    logging.getLogger("tensorflow").setLevel(logging.WARNING)
    absl.logging.set_verbosity(absl.logging.WARNING)  # absl resets its logger's level


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"{message}\n")
    return code


def _message(error: BaseException, values: flags.FlagValues) -> str:
    """Says what went wrong; where nothing can be written, with the flag of another place."""
    name = next((name for name in _OUTPUTS if name in values), "")
    cause: BaseException | None = error
    while cause is not None and not (isinstance(cause, OSError) and cause.errno in _NO_WRITING):
        cause = cause.__cause__
    if not isinstance(cause, OSError) or not name or not cause.filename:
        return str(error)
    path, output = (Path(each).absolute() for each in (cause.filename, values[name].value or ""))
    folder = output if name == "output_dir" else output.parent
    if not (path.is_relative_to(folder) or folder.is_relative_to(path)):
        return str(error)  # something else, which cannot be read
    said = f"{path}: cannot be written: {cause.strerror}." if cause is error else str(error)
    return f"{said} {_NO_WRITING[cause.errno or 0]}, or give another `{name}`."


def _exit_code(work: Callable[[], int], values: flags.FlagValues, shown: Mapping[str, str]) -> int:
    """Turns an error that a user can mend into one line; `--debug` lets it through."""
    debug = values.debug
    try:
        return work()
    except EXPECTED_ERRORS as error:
        if debug:
            raise
        said = as_flags(_message(error, values), shown)
        return _fail(f"error: {said}\n(--debug shows where)", 1)
    except RunInterrupted as stopped:
        return _fail(f"\n{stopped}", _SIGNALED + stopped.number)
    except KeyboardInterrupt:
        if debug:
            raise
        return _fail("\ninterrupted: the work is not complete", _INTERRUPTED)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command, by default that of this process, and returns its exit code."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in _HELP:
        echo(overview())
        return 0
    if name not in COMMANDS:
        expected = f"the command must be one of {', '.join(COMMANDS)}"
        return _fail(f"error: {expected}. Received: {name}", _WRONG_USAGE)
    command = COMMANDS[name]
    shown = {"model_name": "--model", **{flag.name: f"--{flag.name}" for flag in command.flags}}
    shown |= {each.lower().rstrip("."): each.rstrip(".") for each in command.positionals}
    try:
        if _HELP & {*rest}:
            echo(help_of(name, [each for each in rest if each not in _HELP]))
            return 0
        values, others = parse(name, rest)
    except (flags.Error, ValueError) as error:
        hint = f"(t2t-keras {name} --help lists the flags)"
        return _fail(f"error: {as_flags(str(error), shown)}\n{hint}", _WRONG_USAGE)
    for variable, value in _ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    # Only now: a wrong flag or --help needs no TensorFlow, which takes seconds to import.
    work = "evaluate" if getattr(values, "mode", name) == "evaluate" else name
    module = importlib.import_module(f"t2t_keras.cli.{work}")
    from t2t_keras.training.devices.processes import exit_without_barrier, fail_without_barrier

    _show_log(sys.stdout if name == "train" else sys.stderr)
    with fail_without_barrier():
        code = _exit_code(lambda: module.run(values, others), values, shown)
    exit_without_barrier(code)
    return code
