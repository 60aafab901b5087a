"""The two ways examples lie on a disk: picture files, and TFRecord shards.

A split hands out light keys, in a fixed order or in one drawn from a seed, and `read` makes an
encoded picture and its label of a key: skipping ahead costs no decoding.
"""

import dataclasses
from collections.abc import Callable
from typing import Protocol

import tensorflow as tf

from t2t_keras.data.seeds import split_seed

_OPEN_SHARDS = 16  # read in turn, so that a window of records mixes them
_RUN = 4  # records taken of a shard before the next one's turn


class Split(Protocol):
    """A number of labelled pictures."""

    size: int

    def keys(self, seed: tf.Tensor | None) -> tf.data.Dataset:
        """`size` keys: in the fixed order for None, else in the order drawn from `seed`."""

    def names(self, seed: tf.Tensor | None) -> tf.data.Dataset:
        """What messages call the examples of `keys(seed)`, in its order; () strings."""

    def read(self, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Graph code: a key's encoded picture, () string, and label, () int32."""


@dataclasses.dataclass(frozen=True, eq=False)
class FileSplit:
    """Picture files; a key is an index.

    Args:
        paths: (size,) strings, as bytes: a file's name need not be valid text.
        labels: (size,) int32 class indices.
    """

    paths: tf.Tensor
    labels: tf.Tensor

    @property
    def size(self) -> int:
        return int(self.paths.shape[0])

    def keys(self, seed: tf.Tensor | None) -> tf.data.Dataset:
        indices = tf.range(self.size, dtype=tf.int64)
        return tf.data.Dataset.from_tensor_slices(_shuffled(indices, seed))

    def names(self, seed: tf.Tensor | None) -> tf.data.Dataset:
        return self.keys(seed).map(lambda index: tf.gather(self.paths, index))

    def read(self, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.io.read_file(tf.gather(self.paths, key)), tf.gather(self.labels, key)


@dataclasses.dataclass(frozen=True, eq=False)
class RecordSplit:
    """Records in TFRecord shards; a key is a record.

    A seed permutes the shards, and then the records within windows: all of a small set, a few
    thousand of a large one, whose records TFDS has shuffled over the shards when it wrote them.

    Args:
        title: What messages call the split.
        size: Number of records in all.
        shards: (path, first record, number of records) of each shard.
        parse: Graph code: a serialized record -> encoded picture, label.
        window: How many records are held in memory to be permuted.
    """

    title: str
    size: int
    shards: tuple[tuple[str, int, int], ...]
    parse: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
    window: int

    def keys(self, seed: tf.Tensor | None) -> tf.data.Dataset:
        shard_seed, window_seed = (None, None) if seed is None else split_seed(seed, 2)
        paths, firsts, counts = (list(column) for column in zip(*self.shards, strict=True))
        order = _shuffled(tf.range(len(paths)), shard_seed)
        columns = [tf.constant(paths), tf.constant(firsts, tf.int64), tf.constant(counts, tf.int64)]
        shards = tf.data.Dataset.from_tensor_slices(tuple(tf.gather(c, order) for c in columns))
        records = shards.interleave(
            lambda path, first, count: tf.data.TFRecordDataset(path).skip(first).take(count),
            cycle_length=_OPEN_SHARDS,
            block_length=_RUN,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        if seed is None:
            return records
        windows = records.batch(self.window).enumerate()
        return windows.map(
            lambda number, batch: _shuffled(batch, tf.random.fold_in(window_seed, number))
        ).unbatch()

    def names(self, seed: tf.Tensor | None) -> tf.data.Dataset:
        if seed is not None:  # a permuted record does not say where it stood
            return tf.data.Dataset.from_tensors(f"a record of {self.title}").repeat(self.size)
        numbers = tf.data.Dataset.range(self.size).map(tf.strings.as_string)
        return numbers.map(lambda number: tf.strings.join(["record ", number, " of ", self.title]))

    def read(self, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self.parse(key)


def _shuffled(values: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
    if seed is None:
        return values
    order = tf.random.experimental.stateless_shuffle(tf.range(tf.shape(values)[0]), seed)
    return tf.gather(values, order)
