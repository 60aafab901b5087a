"""Stateless seeds: a draw depends on (seed, epoch, what it is for, index) and on nothing else.

A seed is an int64 tensor of shape (2,), as `tf.random.stateless_*` take it. All functions work
eagerly and inside tf.data; `epoch`, `step` and `index` are integers or integer tensors, from 0.
"""

from typing import Any

import tensorflow as tf

_ORDER, _BATCH = range(2)  # what a seed is for; the two never meet
_PLACES = 2**36  # more than an epoch has of anything; leaves room for 2**25 epochs


def order_seed(seed: int, epoch: Any) -> tf.Tensor:
    """The seed of one epoch's order of examples."""
    return _seed(seed, _ORDER, epoch, 0)


def batch_seed(seed: int, epoch: Any, step: Any) -> tf.Tensor:
    """The seed of everything a batch draws; `step` counts within the epoch."""
    return _seed(seed, _BATCH, epoch, step)


def split_seed(seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    """Makes `count` independent seeds of one."""
    return tf.unstack(tf.random.split(seed, count), count)


def _seed(seed: int, purpose: int, epoch: Any, index: Any) -> tf.Tensor:
    """Packs all four into one seed: a hash costs ten times as much.

    TensorFlow scrambles a seed before it draws, so neighbours draw independently.
    """
    epoch, index = (tf.cast(number, tf.int64) for number in (epoch, index))
    return tf.stack([seed, (epoch * _PLACES + index) * 2 + purpose])
