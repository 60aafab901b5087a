"""Processes for the tests to race, limit and kill: forked from this one, or with imports alone."""

import concurrent.futures
import functools
import json
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["t2t_keras.weights.download"])
_NOBODY = 65534

pool = functools.partial(concurrent.futures.ProcessPoolExecutor, mp_context=_CONTEXT)


def forked(work: Callable[[int], Any]) -> tuple[int, int]:
    """Runs `work(pipe)` in a child; returns its process id and the pipe's other end.

    The child must not use TensorFlow if this process has. Its exit code is that of `sys.exit`.
    """
    read, write = os.pipe()
    if pid := os.fork():
        os.close(write)
        return pid, read
    code = 1
    try:
        work(write)
        code = 0
    except SystemExit as left:
        code = left.code
    except BaseException:  # noqa: BLE001 - a forked child must not continue as a test
        traceback.print_exc()
    finally:
        os._exit(code)


def result_of(work: Callable[[], Any]) -> tuple[int, Any]:
    """The exit code of a forked child, and what `work()` returned in it, through JSON."""
    pid, read = forked(lambda pipe: os.write(pipe, json.dumps(work()).encode()))
    with open(read, "rb") as pipe:
        content = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code, json.loads(content) if content else None


def run_alone(function: Callable, *args, seconds: float = 60):
    """Returns or raises what `function(*args)` does in a process of its own."""
    with pool(1) as executor:
        return executor.submit(function, *args).result(seconds)


def kill_after(seconds: float, begun: Path, function: Callable, *args) -> bool:
    """Runs `function(*args)`, kills it `seconds` after `begun` appears; whether it still ran."""
    process = _CONTEXT.Process(target=function, args=args)
    process.start()
    deadline = time.monotonic() + 60
    while process.is_alive() and not begun.exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    process.join(seconds)
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return process.exitcode == -signal.SIGKILL


def drop_root() -> None:
    """Gives up root's right to write anywhere; the imports are done by then."""
    if os.geteuid() == 0:
        os.setuid(_NOBODY)
