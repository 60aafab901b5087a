"""Which devices a run uses, as one `MirroredStrategy`."""

import json
import logging
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

_log = logging.getLogger(__name__)

_DEVICE = re.compile(r"(cpu|gpu):(\d+)")


def refuse_several_workers(environment: Mapping[str, str] = os.environ) -> None:
    """Raises a ValueError where TF_CONFIG names more than one machine.

    Keras 3 has no multi-worker training on TensorFlow: every machine would train a model alone.
    """
    text = environment.get("TF_CONFIG", "")
    if not text:
        return
    try:
        cluster = json.loads(text)["cluster"]
        workers = [address for job in cluster.values() for address in job]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            "The environment's TF_CONFIG must be JSON with a `cluster` of jobs and addresses; "
            f"unset it to train on this machine. Received: TF_CONFIG={text}"
        ) from error
    if len(workers) > 1:
        raise ValueError(
            f"TF_CONFIG names {len(workers)} machines, and Keras 3 cannot train on several with "
            "TensorFlow. Unset it to train on all devices of this machine, or use Keras' JAX "
            "backend with `jax.distributed` and `keras.distribution.DataParallel`. "
            f"Received: TF_CONFIG={text}"
        )


def check_global_batch(batch_size: int, replicas: int, parts: int = 1) -> None:
    """Raises a ValueError where a batch cannot be shared out evenly among devices and their parts.

    TensorFlow would train on uneven shares, with wrong weights and no word about it.
    """
    whole = replicas * parts
    if batch_size % whole == 0:
        return
    nearest = max(round(batch_size / whole), 1) * whole
    in_parts = f" times {parts} parts (--accumulate)" if parts > 1 else ""
    raise ValueError(
        f"`batch_size` counts the pictures of all devices and must be a multiple of the {replicas} "
        f"devices{in_parts}; {nearest} is the nearest. Received: batch_size={batch_size}"
    )


def compiles(jit_compile: bool, strategy: tf.distribute.Strategy) -> bool:
    """Whether XLA is to compile a model's steps: as asked for, but never for several devices.

    There each step fails over variables that lie elsewhere (tensorflow/tensorflow issue 53140).
    """
    alone = strategy.num_replicas_in_sync == 1
    if jit_compile and not alone:
        _log.info("XLA is off: it cannot compile a step for several devices.")
    return jit_compile and alone


def _parsed(devices: Sequence[str]) -> list[tuple[str, int]]:
    found = [_DEVICE.fullmatch(device.strip().lower()) for device in devices]
    parsed = [(match[1], int(match[2])) for match in found if match]
    if len(set(parsed)) < len(devices):
        raise ValueError(
            "`devices` must be different names such as cpu:0 or gpu:1. "
            f"Received: devices={','.join(devices)}"
        )
    return parsed


def _split_cpu(count: int) -> None:
    """Makes the one physical CPU `count` logical ones."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = [tf.config.LogicalDeviceConfiguration()] * count
    try:
        tf.config.set_logical_device_configuration(cpu, logical)
    except RuntimeError as error:
        present = len(tf.config.list_logical_devices("CPU"))
        if present < count:
            raise ValueError(
                f"`devices` asks for {count} CPU devices, but TensorFlow runs with {present} "
                "in this process. Choose them before anything else runs, or in a fresh process."
            ) from error


def make_strategy(devices: Sequence[str] = ()) -> tf.distribute.MirroredStrategy:
    """The strategy for these devices.

    Args:
        devices: Names such as "gpu:0" or "cpu:0"; "cpu:1" and above are logical devices on the one
            CPU. None stands for all GPUs, or the CPU where there is no GPU.

    Raises:
        ValueError: A device does not exist or cannot be made, TF_CONFIG names several machines, or
            Keras runs on another backend.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Training here needs Keras' TensorFlow backend: set KERAS_BACKEND=tensorflow. "
            f"Received: KERAS_BACKEND={keras.backend.backend()}"
        )
    refuse_several_workers()
    gpus = len(tf.config.list_physical_devices("GPU"))
    if not devices:
        devices = [f"gpu:{index}" for index in range(gpus)] or ["cpu:0"]
    parsed = _parsed(devices)
    last = Counter({kind: index for kind, index in sorted(parsed)})
    if "gpu" in last and last["gpu"] >= gpus:
        raise ValueError(
            f"`devices` may name {gpus} GPUs, which is what TensorFlow sees on this machine. "
            f"Received: devices={','.join(devices)}"
        )
    if last["cpu"] > 0:
        _split_cpu(last["cpu"] + 1)
    return tf.distribute.MirroredStrategy([f"/{kind}:{index}" for kind, index in parsed])
