"""TensorFlow's devices of one machine: one `MirroredStrategy`, and the ways around its faults."""

import collections
import contextlib
import json
import os
import zlib
from collections.abc import Iterator, Sequence

import keras
import tensorflow as tf

from t2t_keras.data.ops.graph import plain_options
from t2t_keras.errors import check
from t2t_keras.training.devices.device_names import needed, parsed_devices, split_cpu


def refuse_several_workers(text: str) -> None:
    """Raises a ValueError where a TF_CONFIG names more than one machine.

    Keras 3 has no multi-worker training on TensorFlow (keras-team/keras issue 20585): every machine
    would train a model alone.
    """
    try:
        cluster = json.loads(text or '{"cluster": {}}')["cluster"]
        workers = [address for job in cluster.values() for address in job]
        alone = len(workers) < 2
    except (ValueError, KeyError, TypeError, AttributeError):
        alone = False
    expected = (
        "unset, or JSON with a `cluster` of one machine: Keras 3 cannot train on several with "
        "TensorFlow. Use its JAX backend for that: KERAS_BACKEND=jax, with `coordinator=HOST:PORT`,"
        " `num_processes=N` and `process_id=I` on each machine"
    )
    check(alone, "TF_CONFIG", text, expected)


def make_strategy(devices: Sequence[str] = ()) -> tf.distribute.MirroredStrategy:
    """Makes the strategy for devices named as for `make_devices`, with the same errors."""
    backend = keras.backend.backend()
    check(backend == "tensorflow", "KERAS_BACKEND", backend, "tensorflow or jax, to train")
    refuse_several_workers(os.environ.get("TF_CONFIG", ""))
    gpus = len(tf.config.list_physical_devices("GPU"))
    if not devices:
        devices = [f"gpu:{index}" for index in range(gpus)] or ["cpu:0"]
    parsed, names = parsed_devices(devices), ",".join(devices)
    check("tpu" not in dict(parsed), "devices", names, "without TPUs, unless KERAS_BACKEND=jax")
    expected = f"among the {gpus} GPUs that TensorFlow sees on this machine"
    check(needed(parsed, "gpu") <= gpus, "devices", names, expected)
    cpus = needed(parsed, "cpu")
    if cpus > 1:
        (cpu,) = tf.config.list_physical_devices("CPU")
        logical = [tf.config.LogicalDeviceConfiguration()] * cpus
        split_cpu(
            cpus,
            "TensorFlow",
            lambda: tf.config.set_logical_device_configuration(cpu, logical),
            lambda: len(tf.config.list_logical_devices("CPU")),
        )
    return tf.distribute.MirroredStrategy([f"/{kind}:{index}" for kind, index in parsed])


def feed(
    strategy: tf.distribute.Strategy, batches: tf.data.Dataset
) -> tf.distribute.DistributedDataset:
    """Distributes batches for `fit`, `evaluate` and `predict` without crashing TensorFlow.

    Before each `fit` and `evaluate` under a strategy, Keras takes one batch from an iterator and
    drops it. An iterator that fetches ahead for its devices is then at work in a thread of its own,
    and in one of some hundred cases TensorFlow 2.21 crashes there (`MultiDeviceIterator`, SIGSEGV;
    no upstream report found).
    """
    batches = batches.with_options(plain_options())
    if strategy.num_replicas_in_sync > 1:
        return hold_iterators(strategy.experimental_distribute_dataset(batches))
    direct = tf.distribute.InputOptions(
        experimental_fetch_to_device=False,  # so there is no such iterator
        experimental_replication_mode=tf.distribute.InputReplicationMode.PER_REPLICA,
    )
    return strategy.distribute_datasets_from_function(lambda context: batches, direct)


def hold_iterators(dataset: tf.distribute.DistributedDataset) -> tf.distribute.DistributedDataset:
    """Makes a dataset hold its last two iterators; returns it.

    By the time one is dropped, the next but one has begun and the dropped one is idle: its few
    buffers are full, or it has no batch left.
    """
    kind = type(dataset)
    held: collections.deque[Iterator] = collections.deque(maxlen=2)

    def begin(self: tf.distribute.DistributedDataset) -> Iterator:
        with _untuned():
            held.append(kind.__iter__(self))
        return held[-1]

    # Keras accepts TensorFlow's own class and its subclasses only.
    dataset.__class__ = type(f"Held{kind.__name__}", (kind,), {"__iter__": begin})
    return dataset


@contextlib.contextmanager
def _untuned() -> Iterator[None]:
    """Gives every iterator made inside `plain_options`; the devices' own take none otherwise."""
    usual = tf.data.Dataset.__iter__
    tf.data.Dataset.__iter__ = lambda dataset: usual(dataset.with_options(plain_options()))
    try:
        yield
    finally:
        tf.data.Dataset.__iter__ = usual


def decorrelate_dropout(model: keras.Model) -> None:
    """Derives each other device's dropout seeds from the first device's, which stay as they are.

    A `MirroredStrategy` gives every device a copy of a seed, and Keras counts them up alike, so all
    devices would draw the same masks (keras-team/keras issue 20611). The copies may differ, and
    stay apart once they do; calling this again, or after a restore, changes nothing.
    """
    for variable in model.variables:
        if variable.path.endswith("/seed_generator_state") and isinstance(
            variable.value, tf.distribute.DistributedValues
        ):
            _spread(variable.value)


def _spread(state: tf.distribute.DistributedValues) -> None:
    first, *others = state.distribute_strategy.experimental_local_results(state)
    seed, count = (int(number) for number in first.numpy())
    for index, other in enumerate(others, 1):
        other.assign([zlib.crc32(f"{seed}/{index}".encode()), count])
