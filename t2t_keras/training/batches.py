"""What `evaluate` is fed: no ragged batch, and no small set read twice."""

import math

import numpy as np
import tensorflow as tf

_MEMORY = 64 * 2**20  # bytes


def padded(batches: tf.data.Dataset, batch_size: int, count: int) -> tf.data.Dataset:
    """Fills the last batch up with pictures of weight 0, so that every device gets a full share.

    Keras divides a batch's loss by its pictures, the fillers too, and averages over the batches:
    the weight of the others makes up for that, and loss and weighted metrics are exact.

    Args:
        batches: (pictures, (B, classes) targets); the last batch may be smaller.
        batch_size: Of every batch that comes out.
        count: Pictures in all.

    Returns:
        (pictures, targets, (batch_size,) float32 weights).
    """
    total = -(-count // batch_size) * batch_size

    def fill(images, targets):
        missing = batch_size - tf.shape(images)[0]
        weights = tf.fill((batch_size - missing,), total / count)
        parts = (images, targets, tf.cast(weights, tf.float32))
        return tuple(_filled(part, missing, batch_size) for part in parts)

    return batches.map(fill, num_parallel_calls=tf.data.AUTOTUNE)


def _filled(values: tf.Tensor, missing: tf.Tensor, batch_size: int) -> tf.Tensor:
    rest = values.shape[1:]
    filled = tf.pad(values, [[0, missing], *([[0, 0]] * len(rest))])
    return tf.ensure_shape(filled, (batch_size, *rest))


def kept_if_small(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Reads a data set of a few MB once and keeps it.

    Keras starts a validation set anew twice an epoch. For a pipeline from files that takes a
    second each, for as small a set longer than training on it.

    Args:
        batches: Of known number and equal, known shapes.
    """
    spec = batches.element_spec
    batch_bytes = sum(math.prod(part.shape) * part.dtype.size for part in spec)
    if len(batches) * batch_bytes > _MEMORY:
        return batches
    columns = zip(*batches.as_numpy_iterator(), strict=True)
    return tf.data.Dataset.from_tensor_slices(tuple(np.stack(column) for column in columns))
