"""A process that forked from the tests' own: it must not use TensorFlow."""

import json
import os
import sys
from collections.abc import Callable
from typing import Any


def forked(work: Callable[[int], Any]) -> tuple[int, int]:
    """Runs `work(pipe)` in a child; returns its process id and the pipe's other end."""
    read, write = os.pipe()
    if pid := os.fork():
        os.close(write)
        return pid, read
    code = 1
    try:
        work(write)
        code = 0
    except BaseException as error:  # noqa: BLE001 - a forked child must not continue as a test
        sys.stderr.write(f"{error!r}\n")
    finally:
        os._exit(code)


def result_of(work: Callable[[], Any]) -> tuple[int, Any]:
    """The exit code of a child, and what `work()` returned in it, through JSON."""
    pid, read = forked(lambda pipe: os.write(pipe, json.dumps(work()).encode()))
    with open(read, "rb") as pipe:
        content = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code, json.loads(content) if content else None
