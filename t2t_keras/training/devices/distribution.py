"""Which devices a run uses, as one `MirroredStrategy`."""

import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from t2t_keras.training.devices.device_names import parsed_devices, too_late


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
            "backend: KERAS_BACKEND=jax python train_keras.py --coordinator=HOST:PORT "
            "--num_processes=N --process_id=I on each machine. "
            f"Received: TF_CONFIG={text}"
        )


def check_global_batch(batch_size: int, replicas: int, parts: int = 1, processes: int = 1) -> None:
    """Raises a ValueError where a batch cannot be shared out evenly among devices and their parts.

    TensorFlow would train on uneven shares, with wrong weights and no word about it; and each of
    several processes mixes its own images in pairs.
    """
    unit = math.lcm(replicas * parts, 2 * processes if processes > 1 else 1)
    if batch_size % unit == 0:
        return
    nearest = max(round(batch_size / unit), 1) * unit
    in_parts = f" times {parts} parts (--accumulate)" if parts > 1 else ""
    in_pairs = f" and of {2 * processes}, twice the processes" if processes > 1 else ""
    raise ValueError(
        f"`batch_size` counts the images of all devices and must be a multiple of the {replicas} "
        f"devices{in_parts}{in_pairs}; {nearest} is the nearest. "
        f"Received: batch_size={batch_size}"
    )


def _split_cpu(count: int) -> None:
    """Makes the one physical CPU `count` logical ones."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = [tf.config.LogicalDeviceConfiguration()] * count
    try:
        tf.config.set_logical_device_configuration(cpu, logical)
    except RuntimeError as error:
        present = len(tf.config.list_logical_devices("CPU"))
        if present < count:
            raise too_late(count, "TensorFlow", present) from error


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
            "Training here needs Keras' TensorFlow or JAX backend: set KERAS_BACKEND=tensorflow. "
            f"Received: KERAS_BACKEND={keras.backend.backend()}"
        )
    refuse_several_workers()
    gpus = len(tf.config.list_physical_devices("GPU"))
    if not devices:
        devices = [f"gpu:{index}" for index in range(gpus)] or ["cpu:0"]
    parsed = parsed_devices(devices)
    if "tpu" in dict(parsed):
        raise ValueError(
            "`devices` may name TPUs with Keras' JAX backend only: set KERAS_BACKEND=jax. "
            f"Received: devices={','.join(devices)}"
        )
    last = Counter({kind: index for kind, index in sorted(parsed)})
    if "gpu" in last and last["gpu"] >= gpus:
        raise ValueError(
            f"`devices` may name {gpus} GPUs, which is what TensorFlow sees on this machine. "
            f"Received: devices={','.join(devices)}"
        )
    if last["cpu"] > 0:
        _split_cpu(last["cpu"] + 1)
    return tf.distribute.MirroredStrategy([f"/{kind}:{index}" for kind, index in parsed])
