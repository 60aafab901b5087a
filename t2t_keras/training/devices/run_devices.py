"""The devices of a run: TensorFlow's of one machine, or JAX's of one or several."""

import contextlib
import dataclasses
import functools
import logging
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TypeAlias

import keras
import tensorflow as tf

from t2t_keras.errors import check
from t2t_keras.training.devices.device_names import chosen_devices, prepare_jax
from t2t_keras.training.devices.mirrored import feed, make_strategy
from t2t_keras.training.devices.processes import ALONE, Processes, present_processes

_log = logging.getLogger(__name__)

Batches: TypeAlias = "tf.data.Dataset | tf.distribute.DistributedDataset"


@dataclasses.dataclass(frozen=True, eq=False)
class Devices:
    """The devices of a run; by default the one that Keras chooses."""

    replicas: int = 1  # those of all processes together
    # To build and compile the model in, and to `fit`, `evaluate` and `predict` in.
    build_scope: Callable[[], AbstractContextManager] = contextlib.nullcontext
    fit_scope: Callable[[], AbstractContextManager] = contextlib.nullcontext
    distribute: Callable[[tf.data.Dataset], Batches] = lambda batches: batches
    requires_xla: bool = False
    processes: Processes = ALONE

    def use_xla(self, jit_compile: bool) -> bool:
        """True if XLA is to compile a model's steps; it cannot compile TensorFlow's for several.

        There each step fails over variables on other devices (tensorflow/tensorflow issue 53140).
        """
        if self.requires_xla or self.replicas == 1:
            return jit_compile or self.requires_xla
        if jit_compile:
            _log.info("XLA is off: it cannot compile a step for several devices.")
        return False


def check_global_batch(batch_size: int, replicas: int, parts: int = 1, processes: int = 1) -> None:
    """Raises a ValueError where a batch cannot be shared evenly among devices and their parts.

    TensorFlow would train on uneven shares, with wrong weights and without a warning; and each of
    several processes mixes its own images in pairs.
    """
    unit = math.lcm(replicas * parts, 2 * processes if processes > 1 else 1)
    nearest = max(round(batch_size / unit), 1) * unit
    in_parts = f" times {parts} parts (`accumulate`)" if parts > 1 else ""
    in_pairs = f" and of {2 * processes}, twice the processes" if processes > 1 else ""
    unit_in_words = f"{replicas} devices{in_parts}{in_pairs}"
    expected = f"a multiple of the {unit_in_words}; {nearest} is the nearest, over all devices"
    check(batch_size % unit == 0, "batch_size", batch_size, expected)


def make_devices(names: Sequence[str] = ()) -> Devices:
    """Finds the devices of a run by their names in every process, such as "gpu:0" or "cpu:0".

    "cpu:1" and above are logical devices on the one CPU. No names stand for all GPUs (JAX: or
    TPUs), else the CPU.
    """
    if keras.backend.backend() == "jax":
        return _jax_devices(names)
    strategy = make_strategy(names)
    count, distribute = strategy.num_replicas_in_sync, functools.partial(feed, strategy)
    return Devices(count, strategy.scope, contextlib.nullcontext, distribute)


def _jax_devices(names: Sequence[str]) -> Devices:
    import jax

    prepare_jax(names)
    chosen = chosen_devices(names)
    if len(chosen) > 1:  # variables are copied to all, and batches come shared out already
        mesh = keras.distribution.DeviceMesh((len(chosen),), ["batch"], chosen)
        scope = keras.distribution.DataParallel(device_mesh=mesh, auto_shard_dataset=False).scope
    elif chosen == jax.devices()[:1]:  # without a distribution Keras fetches batches ahead
        scope = contextlib.nullcontext
    else:
        scope = functools.partial(jax.default_device, chosen[0])
    processes = present_processes()
    return Devices(len(chosen), scope, scope, requires_xla=True, processes=processes)
