"""Seeds that are functions of (run, epoch, step), and the rows of a batch that a process decodes.

The shards of a batch make up the whole batch, in another order. Mixing pairs row i of a batch with
row B - 1 - i: a shard holds both or neither, and its own rows i and b - 1 - i are such pairs again.
"""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from t2t_keras.errors import check

_ORDER, _BATCH = range(2)  # what a seed is for; the two never meet
_PLACES = 2**36  # more than an epoch has of anything; leaves room for 2**25 epochs


def order_seed(seed: int, epoch: Any) -> tf.Tensor:
    """Makes the seed of one epoch's order of examples."""
    return _seed(seed, _ORDER, epoch, 0)


def batch_seed(seed: int, epoch: Any, step: Any) -> tf.Tensor:
    """Makes the seed of everything random in a batch; `step` counts within the epoch."""
    return _seed(seed, _BATCH, epoch, step)


def split_seed(seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    """Makes `count` independent seeds of one."""
    return tf.unstack(tf.random.split(seed, count), count)


def _seed(seed: int, purpose: int, epoch: Any, index: Any) -> tf.Tensor:
    """Packs all four into one seed, as a hash costs ten times as much; TensorFlow scrambles it."""
    epoch, index = (tf.cast(number, tf.int64) for number in (epoch, index))
    return tf.stack([seed, (epoch * _PLACES + index) * 2 + purpose])


@dataclasses.dataclass(frozen=True)
class Shard:
    """The part of every batch that one of several processes decodes."""

    index: int = 0  # the process' number, from 0
    count: int = 1  # of processes

    def __post_init__(self) -> None:
        expected = f"in 0..{self.count - 1}, as `count` says"
        check(0 <= self.index < self.count, "index", self.index, expected)

    def size(self, batch_size: int) -> int:
        """Images of each batch; refuses a size of which pairs cannot be shared evenly."""
        even = self.count == 1 or batch_size % (2 * self.count) == 0
        expected = f"a multiple of {2 * self.count}, twice the number of processes"
        check(even, "batch_size", batch_size, expected)
        return batch_size // self.count

    def rows(self, batch_size: int) -> np.ndarray:
        """Rows of each batch, ascending: (`size(batch_size)`,)."""
        if self.count == 1:
            return np.arange(batch_size)
        half = self.size(batch_size) // 2
        upper = np.arange(self.index * half, (self.index + 1) * half)
        return np.concatenate([upper, batch_size - 1 - upper[::-1]])


SINGLE = Shard()
