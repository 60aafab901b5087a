"""JAX's devices: each has a copy of the model and a share of every batch."""

from collections.abc import Sequence
from typing import Any

import jax
import keras
import tensorflow as tf

from t2t_keras.training.devices.device_names import parsed_devices, too_late


def prepare_jax(names: Sequence[str] = ()) -> None:
    """Makes as many CPU devices as are named; TensorFlow, which only reads, gets no GPU."""
    tf.config.set_visible_devices([], "GPU")
    last = max((index for kind, index in parsed_devices(names) if kind == "cpu"), default=0)
    if not last:
        return
    try:
        jax.config.update("jax_num_cpu_devices", last + 1)
    except RuntimeError as error:
        present = jax.local_device_count("cpu")
        if present <= last:
            raise too_late(last + 1, "JAX", present) from error


def chosen_devices(names: Sequence[str]) -> list[jax.Device]:
    """Returns the devices of all processes, in the order of the processes' numbers."""
    if not names:
        return jax.devices()
    chosen = []
    for process in range(jax.process_count()):
        for kind, index in parsed_devices(names):
            present = _present(kind, process)
            if index >= len(present):
                raise ValueError(
                    f"`devices` may name {len(present)} of kind {kind}, which is what JAX sees in "
                    f"process {process}. Received: devices={','.join(names)}"
                )
            chosen.append(present[index])
    return chosen


def _present(kind: str, process: int) -> list[jax.Device]:
    try:
        return [device for device in jax.devices(kind) if device.process_index == process]
    except RuntimeError:  # JAX has no such kind
        return []


def distribution_over(devices: Sequence[Any]) -> keras.distribution.DataParallel:
    """Copies variables to all devices; the caller shares out the batches."""
    mesh = keras.distribution.DeviceMesh((len(devices),), ["batch"], list(devices))
    return keras.distribution.DataParallel(device_mesh=mesh, auto_shard_dataset=False)
