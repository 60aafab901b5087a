"""TensorFlow's devices of one machine: one `MirroredStrategy`, and the ways around its faults."""

import collections
import contextlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence

import keras
import tensorflow as tf

from t2t_keras.data.ops.graph import plain_options
from t2t_keras.training.devices.device_names import parsed_devices, too_late


def refuse_several_workers(environment: Mapping[str, str] = os.environ) -> None:
    """Raises a ValueError where TF_CONFIG names more than one machine.

    Keras 3 has no multi-worker training on TensorFlow (keras-team/keras issue 20585): every machine
    would train a model alone.
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
            "backend: KERAS_BACKEND=jax, with `coordinator=HOST:PORT`, `num_processes=N` and "
            "`process_id=I` on each machine. "
            f"Received: TF_CONFIG={text}"
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
    """Makes the strategy for devices named as for `make_devices`, with the same errors."""
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
    last = collections.Counter({kind: index for kind, index in sorted(parsed)})
    if "gpu" in last and last["gpu"] >= gpus:
        raise ValueError(
            f"`devices` may name {gpus} GPUs, which is what TensorFlow sees on this machine. "
            f"Received: devices={','.join(devices)}"
        )
    if last["cpu"] > 0:
        _split_cpu(last["cpu"] + 1)
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
