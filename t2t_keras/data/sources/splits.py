"""The two ways examples are stored: image files, and TFRecord shards.

A split hands out light keys, in a fixed order or in one sampled from a seed, and `read` makes an
encoded image and its label of a key: skipping ahead costs no decoding.
"""

import bisect
import dataclasses
import itertools
import os
from collections.abc import Callable, Collection
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import tensorflow as tf

from t2t_keras.data.ops.graph import drop_failing
from t2t_keras.data.ops.seeds import split_seed

_OPEN_SHARDS = 16  # read in turn, so that a window of records mixes them
_BLOCK_LENGTH = 4  # records taken of a shard before the next one's turn


class Split(Protocol):
    """A number of labeled images, each with a place that is the same in every order."""

    read_fault: ClassVar[str]  # why an example is missing in `enumerate_keys`

    @property
    def size(self) -> int:
        """Counts the images."""

    def keys(self, seed: tf.Tensor | None) -> tf.data.Dataset:
        """Yields `size` keys: in the fixed order for None, else in that of `seed`."""

    def part(self, seed: tf.Tensor, first: int, count: int) -> "Split":
        """Makes a split of some of `keys(seed)`, in that order; of records, it is the whole."""

    def read(self, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Reads a key's encoded image, () string, and label, () int32; graph code."""

    def every_label(self) -> np.ndarray:
        """Reads the (size,) int64 labels in the fixed order without decoding an image."""

    def enumerate_keys(self) -> tf.data.Dataset:
        """Yields (place, key) of what can be read, in no particular order; places are () int64."""

    def name_at(self, place: int) -> str:
        """Names the file, or the record and its file, at a place."""

    def without(self, places: Collection[int]) -> Self:
        """Makes the same split with these examples left out."""

    def files(self) -> list[str]:
        """Lists every file it is read from."""


@dataclasses.dataclass(frozen=True, eq=False)
class FileSplit:
    """Image files; a key is an index."""

    paths: tf.Tensor  # (size,) strings, as bytes: a file's name need not be valid text
    labels: tf.Tensor  # (size,) int32 class indices
    read_fault: ClassVar[str] = "cannot be read: missing, or no right to"

    @property
    def size(self) -> int:
        return int(self.paths.shape[0])

    def keys(self, seed: tf.Tensor | None) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(self._order(seed))

    def part(self, seed: tf.Tensor, first: int, count: int) -> "FileSplit":
        return self._at(self._order(seed)[first : first + count])

    def read(self, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.io.read_file(tf.gather(self.paths, key)), tf.gather(self.labels, key)

    def every_label(self) -> np.ndarray:
        return self.labels.numpy().astype(np.int64)

    def enumerate_keys(self) -> tf.data.Dataset:
        return tf.data.Dataset.range(self.size).map(lambda place: (place, place))

    def name_at(self, place: int) -> str:
        return os.fsdecode(self.paths[place].numpy())

    def without(self, places: Collection[int]) -> "FileSplit":
        return self._at(np.delete(np.arange(self.size), list(places)))

    def files(self) -> list[str]:
        return [os.fsdecode(path) for path in self.paths.numpy()]

    def _order(self, seed: tf.Tensor | None) -> tf.Tensor:
        return _shuffled(tf.range(self.size, dtype=tf.int64), seed)

    def _at(self, places: Any) -> "FileSplit":
        return FileSplit(tf.gather(self.paths, places), tf.gather(self.labels, places))


@dataclasses.dataclass(frozen=True, eq=False)
class RecordSplit:
    """Records in TFRecord shards; a key is a record, a place counts the records of all shards.

    A seed permutes the shards, and then the records within windows: all of a small set, a few
    thousand of a large one, which TFDS has shuffled over the shards when it wrote them. After a
    damaged record nothing of its shard can be read.
    """

    size: int
    shards: tuple[tuple[str, int, int], ...]  # (path, first record, number of records) of each
    parse: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]  # record -> encoded image, label
    window: int  # number of records kept in memory to be permuted
    kept: np.ndarray | None = None  # true at each place that belongs to the split; None for all
    read_fault: ClassVar[str] = "cannot be read: here or before it, the file is damaged or ends"

    def keys(self, seed: tf.Tensor | None) -> tf.data.Dataset:
        shard_seed, window_seed = (None, None) if seed is None else split_seed(seed, 2)
        records = self._read_shards(shard_seed, _open_shard)
        if self.kept is not None:
            kept = tf.constant(self.kept)
            records = records.filter(lambda place, record: tf.gather(kept, place))
        records = records.map(lambda place, record: record)
        if seed is None:
            return records
        windows = records.batch(self.window).enumerate()
        return windows.map(
            lambda number, batch: _shuffled(batch, tf.random.fold_in(window_seed, number))
        ).unbatch()

    def part(self, seed: tf.Tensor, first: int, count: int) -> "RecordSplit":
        return self  # a permuted record does not say where it was stored

    def read(self, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self.parse(key)

    def every_label(self) -> np.ndarray:
        labels = self.keys(None).map(lambda key: self.read(key)[1])
        return np.fromiter(labels.as_numpy_iterator(), np.int64)

    def enumerate_keys(self) -> tf.data.Dataset:
        def readable(*shard: tf.Tensor) -> tf.data.Dataset:
            return drop_failing(_open_shard(*shard))

        return self._read_shards(None, readable)

    def name_at(self, place: int) -> str:
        number = bisect.bisect_right(self._starts(), place) - 1
        path, first, _ = self.shards[number]
        return f"record {first + place - self._starts()[number]} of {path}"

    def without(self, places: Collection[int]) -> "RecordSplit":
        everything = np.ones(sum(count for *_, count in self.shards), bool)
        kept = np.array(everything if self.kept is None else self.kept)
        kept[list(places)] = False
        shards, masks = [], []
        for (path, first, count), start in zip(self.shards, self._starts(), strict=True):
            last = np.flatnonzero(kept[start : start + count])[-1:]
            if last.size:  # what comes after may not be readable, and is not reached
                count = int(last[0]) + 1
                shards.append((path, first, count))
                masks.append(kept[start : start + count])
        mask = np.concatenate(masks) if masks else kept[:0]
        size = int(mask.sum())
        return dataclasses.replace(
            self, size=size, shards=tuple(shards), window=min(self.window, max(size, 1)), kept=mask
        )

    def files(self) -> list[str]:
        return [path for path, *_ in self.shards]

    def _starts(self) -> list[int]:
        """Places of the shards' first records."""
        return [0, *itertools.accumulate(count for *_, count in self.shards)][:-1]

    def _read_shards(self, seed: tf.Tensor | None, opened: Callable) -> tf.data.Dataset:
        """Yields (place, record) of several shards in turn, themselves in the order of `seed`."""
        paths, firsts, counts = (list(column) for column in zip(*self.shards, strict=True))
        columns = [tf.constant(paths)]
        columns += [tf.constant(column, tf.int64) for column in (firsts, counts, self._starts())]
        order = _shuffled(tf.range(len(paths)), seed)
        shards = tf.data.Dataset.from_tensor_slices(tuple(tf.gather(c, order) for c in columns))
        return shards.interleave(
            opened,
            cycle_length=_OPEN_SHARDS,
            block_length=_BLOCK_LENGTH,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )


def _open_shard(
    path: tf.Tensor, first: tf.Tensor, count: tf.Tensor, start: tf.Tensor
) -> tf.data.Dataset:
    return tf.data.TFRecordDataset(path).skip(first).take(count).enumerate(start)


def _shuffled(values: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
    if seed is None:
        return values
    order = tf.random.experimental.stateless_shuffle(tf.range(tf.shape(values)[0]), seed)
    return tf.gather(values, order)
