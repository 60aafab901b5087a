"""Processes for the tests to race, limit and kill, forked from one that holds the imports."""

import concurrent.futures
import functools
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["t2t_keras.weights.download"])
_NOBODY = 65534

pool = functools.partial(concurrent.futures.ProcessPoolExecutor, mp_context=_CONTEXT)


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
