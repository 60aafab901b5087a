"""How batches come to TensorFlow's devices without bringing the process down.

Before each `fit` and `evaluate` under a strategy, Keras takes one batch from an iterator and lets
go of it. An iterator that fetches ahead for its devices is at work then in a thread of its own, and
in one of some hundred cases TensorFlow 2.21 crashes there (`MultiDeviceIterator`, SIGSEGV).
"""

import collections
import contextlib
from collections.abc import Iterator

import tensorflow as tf

from t2t_keras.data.ops.graph import plain_options


def feed(
    strategy: tf.distribute.Strategy, batches: tf.data.Dataset
) -> tf.distribute.DistributedDataset:
    """What `fit`, `evaluate` and `predict` are to be given instead of `batches`.

    Args:
        strategy: Of the model, with all devices on this machine.
        batches: Over all devices, each of a size that they can share.
    """
    batches = batches.with_options(plain_options())
    if strategy.num_replicas_in_sync > 1:
        return hold_iterators(strategy.experimental_distribute_dataset(batches))
    direct = tf.distribute.InputOptions(
        experimental_fetch_to_device=False,  # then there is no such iterator
        experimental_replication_mode=tf.distribute.InputReplicationMode.PER_REPLICA,
    )
    return strategy.distribute_datasets_from_function(lambda context: batches, direct)


def hold_iterators(dataset: tf.distribute.DistributedDataset) -> tf.distribute.DistributedDataset:
    """Has a dataset hold its last two iterators; returns it.

    When one is given up, the next but one has begun, and it has long come to rest: its few buffers
    are full, or it has no batch left.
    """
    kind, held = type(dataset), collections.deque(maxlen=2)

    def begin(self) -> Iterator:
        with _untuned():
            held.append(kind.__iter__(self))
        return held[-1]

    # Keras takes nothing but TensorFlow's own class and what inherits from it.
    dataset.__class__ = type(f"Held{kind.__name__}", (kind,), {"__iter__": begin})
    return dataset


@contextlib.contextmanager
def _untuned() -> Iterator[None]:
    """Every iterator made inside has `plain_options`: those of the devices take none otherwise."""
    usual = tf.data.Dataset.__iter__
    tf.data.Dataset.__iter__ = lambda dataset: usual(dataset.with_options(plain_options()))
    try:
        yield
    finally:
        tf.data.Dataset.__iter__ = usual
