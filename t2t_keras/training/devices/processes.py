"""The processes that train one model together with JAX.

The first one decides and writes files; the others follow it.
"""

import contextlib
import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from t2t_keras.data.ops.seeds import Shard
from t2t_keras.errors import T2TError, TrainingError, check
from t2t_keras.training.devices.device_names import prepare_jax

_log = logging.getLogger(__name__)

FROM_CLUSTER = "auto"
# Seconds after which JAX ends a process when another one was lost, if no step failed before.
HEARTBEAT = 60
_START = 300
_FINAL_FILES = 3600  # the time the others wait while the first process writes them
_ADDRESS = re.compile(r"[^\s:]+:\d+|\[[0-9a-fA-F:.]+\]:\d+")
# Words of the libraries that carry data between processes, when one of them is gone.
_LOST = re.compile(r"Gloo|NCCL|coordination service|UNAVAILABLE|DATA_LOSS|DEADLINE_EXCEEDED")


class Processes(Shard):
    """This process among those of the run, each of which has its share of every batch."""

    @property
    def first(self) -> bool:
        """True if this one decides and writes files."""
        return self.index == 0

    def highest(self, number: int) -> int:
        """Returns the highest of the processes' numbers; every process must call it."""
        if self.count == 1:
            return number
        from jax.experimental import multihost_utils

        with lost_process():
            return int(multihost_utils.process_allgather(np.array(number, np.int32)).max())

    def from_first(self, work: Callable[[], Any]) -> Any:
        """Returns the first process' result of `work`; every process must call this.

        `work` must return what JSON can hold. Where it raises a `T2TError`, a `ValueError` or an
        `OSError`, the others raise a `TrainingError` with its message.
        """
        if self.count == 1:
            return work()
        if not self.first:
            answer = _broadcast({})
            if "error" in answer:
                raise TrainingError(f"Process 0 stopped: {answer['error']}")
            return answer["value"]
        try:
            value = work()
        except (T2TError, ValueError, OSError) as error:
            _broadcast({"error": str(error)})
            raise
        _broadcast({"value": value})
        return value

    def in_turn(self, work: Callable[[], Any]) -> Any:
        """Returns each process' result of `work`; the others start after the first one."""
        results: list[Any] = []
        self.from_first(lambda: results.append(work()))
        return results[0] if results else work()


ALONE = Processes()


def _broadcast(answer: dict[str, Any]) -> dict[str, Any]:
    """Returns the first process' answer in all of them."""
    from jax.experimental import multihost_utils

    content = json.dumps(answer).encode()
    with lost_process():
        size = int(multihost_utils.broadcast_one_to_all(np.array(len(content), np.int32)))
        padded = np.frombuffer(content.ljust(size)[:size], np.uint8)
        return json.loads(bytes(multihost_utils.broadcast_one_to_all(padded)))


def present_processes() -> Processes:
    """Returns the processes that JAX runs in; one alone on other backends."""
    if keras.backend.backend() != "jax":
        return ALONE
    import jax

    return Processes(jax.process_index(), jax.process_count())


def join_processes(
    coordinator: str | None,
    num_processes: int | None = None,
    process_id: int | None = None,
    devices: Sequence[str] = (),
) -> Processes:
    """Makes this process one of several; call it before anything is computed.

    `coordinator` is HOST:PORT, on which process 0 will listen; "auto" takes all three arguments
    from the cluster's environment (TPU pods, Slurm, Kubernetes, Open MPI). Nothing given means
    this process alone. Where the others cannot be reached within 300 s, JAX ends the process.
    """
    given, where = (coordinator, num_processes, process_id), dict[str, Any]()
    if given == (None, None, None):
        return ALONE
    backend, received = keras.backend.backend(), f"{coordinator}, {num_processes=}, {process_id=}"
    expected = (
        "jax with `coordinator`, `num_processes` and `process_id`: start every process with "
        "KERAS_BACKEND=jax, `coordinator=HOST:PORT`, `num_processes=N` and `process_id=I`, with I "
        "from 0 to N - 1"
    )
    check(backend == "jax", "KERAS_BACKEND", backend, expected)
    if coordinator == FROM_CLUSTER:
        fits = (num_processes, process_id) == (None, None)
    else:
        names = ("coordinator_address", "num_processes", "process_id")
        where = dict(zip(names, given, strict=True))
        address = bool(_ADDRESS.fullmatch(coordinator or ""))
        fits = address and process_id is not None and 0 <= process_id < (num_processes or 0)
    expected = f"HOST:PORT, with `process_id` in 0..`num_processes` - 1, or {FROM_CLUSTER} alone"
    check(fits, "coordinator", received, expected)
    import jax

    prepare_jax(devices)
    _log.info("Waiting up to %d s for the other processes: %s", _START, where or "this cluster's")
    try:
        jax.distributed.initialize(
            **where,
            initialization_timeout=_START,
            heartbeat_timeout_seconds=HEARTBEAT,
            shutdown_timeout_seconds=_FINAL_FILES,
        )
    except ValueError as error:
        raise ValueError(
            "`coordinator` must be HOST:PORT, with `num_processes` and `process_id`: the "
            f"environment names no cluster ({error}). Received: coordinator={coordinator}"
        ) from error
    except RuntimeError as error:
        raise TrainingError(
            f"`coordinator={coordinator}`: process {process_id} cannot join ({error}). Give an "
            "address of process 0's machine with a free port, the same one to all."
        ) from error
    return present_processes()


@contextlib.contextmanager
def lost_process() -> Iterator[None]:
    """Names the cause where a step fails because another process has ended."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        alone = present_processes().count == 1
        if alone or isinstance(error, T2TError) or not _LOST.search(str(error)):
            raise
        raise TrainingError(
            "Another process of this run has ended; its own output says why. Start all of them "
            "again: the run resumes from its last checkpoint."
        ) from error


@contextlib.contextmanager
def fail_without_barrier() -> Iterator[None]:
    """Ends a process that fails inside without waiting for the others, which wait for it.

    The others notice: a step fails, or JAX ends them after 60 s without a heartbeat.
    """
    failed = True
    try:
        yield
        failed = False
    finally:
        if failed and _joined():
            traceback.print_exc()
            exit_without_barrier(1)


def exit_without_barrier(code: int) -> None:
    """Ends this process without waiting for others, if there are any and `code` is not 0."""
    if code and _joined():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _joined() -> bool:
    if keras.backend.backend() != "jax":
        return False
    import jax

    return jax.distributed.is_initialized()
