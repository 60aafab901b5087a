"""What a run computes on: TensorFlow's devices of one machine, or JAX's of one or several."""

import contextlib
import dataclasses
import functools
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import keras
import tensorflow as tf

from t2t_keras.data.ops.seeds import Shard
from t2t_keras.training.devices.distribution import make_strategy
from t2t_keras.training.devices.feeding import feed
from t2t_keras.training.devices.processes import ALONE, Processes, present_processes

_log = logging.getLogger(__name__)

Batches = tf.data.Dataset | tf.distribute.DistributedDataset


@dataclasses.dataclass(frozen=True, eq=False)
class Devices:
    """What a run computes on.

    Args:
        replicas: Number of devices that share each batch, those of all processes together.
        building: Makes a context to build and compile the run's model in.
        fitting: Makes a context to call its `fit`, `evaluate` and `predict` in.
        feed: Makes of a dataset what these are to be given.
        always_compiled: Whether there is no way to run but compiled by XLA.
        processes: Those that train together, each with as many devices.
    """

    replicas: int
    building: Callable[[], AbstractContextManager]
    fitting: Callable[[], AbstractContextManager]
    feed: Callable[[tf.data.Dataset], Batches] = lambda batches: batches
    always_compiled: bool = False
    processes: Processes = ALONE

    @property
    def shard(self) -> Shard:
        """What this process takes of every batch."""
        return Shard(self.processes.number, self.processes.count)

    def compiles(self, jit_compile: bool) -> bool:
        """Whether XLA is to compile a model's steps; TensorFlow's for several devices it cannot.

        There each step fails over variables that lie elsewhere (tensorflow/tensorflow issue 53140).
        """
        if self.always_compiled or self.replicas == 1:
            return jit_compile or self.always_compiled
        if jit_compile:
            _log.info("XLA is off: it cannot compile a step for several devices.")
        return False


def make_devices(names: Sequence[str] = ()) -> Devices:
    """Finds the devices of a run.

    Args:
        names: Such as "gpu:0" or "cpu:0", in every process; "cpu:1" and above are logical devices
            on the one CPU. None stands for all GPUs (JAX: or TPUs), else the CPU.

    Raises:
        ValueError: A device does not exist or cannot be made, TF_CONFIG names several machines, or
            Keras runs on another backend.
    """
    if keras.backend.backend() == "jax":
        return _jax_devices(names)
    strategy = make_strategy(names)
    return Devices(
        strategy.num_replicas_in_sync,
        strategy.scope,
        contextlib.nullcontext,
        feed=functools.partial(feed, strategy),
    )


def _jax_devices(names: Sequence[str]) -> Devices:
    import jax

    from t2t_keras.training.devices.data_parallel import (
        chosen_devices,
        distribution_over,
        prepare_jax,
    )

    prepare_jax(names)
    chosen = chosen_devices(names)
    if len(chosen) > 1:
        scope = distribution_over(chosen).scope
    elif chosen == jax.devices()[:1]:  # without a distribution Keras fetches batches ahead
        scope = contextlib.nullcontext
    else:
        scope = functools.partial(jax.default_device, chosen[0])
    return Devices(
        len(chosen),
        scope,
        scope,
        always_compiled=True,
        processes=present_processes(),
    )
