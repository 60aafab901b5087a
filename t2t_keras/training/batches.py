"""What `evaluate` is fed: no ragged batch, and no small set read twice."""

import math

import numpy as np
import tensorflow as tf

from t2t_keras.data import WHOLE, Share, plain_options

_MEMORY = 64 * 2**20  # bytes


@tf.autograph.experimental.do_not_convert  # no Python conditions on tensors
def padded(
    batches: tf.data.Dataset, batch_size: int, count: int, share: Share = WHOLE
) -> tf.data.Dataset:
    """Fills the last batch up with pictures of weight 0, so that every device gets a full share.

    Keras divides a batch's loss by its pictures, the fillers too, and averages over the batches:
    the weight of the others makes up for that, and loss and weighted metrics are exact.

    Args:
        batches: (pictures, (B, classes) targets); the last batch may be smaller, or missing where
            other processes have one.
        batch_size: Over all processes.
        count: Pictures in all, over all processes.
        share: What this process takes.

    Returns:
        (pictures, targets, (size,) float32 weights), as many in every process; `size` is
        `share.size(batch_size)`.
    """
    steps, size = -(-count // batch_size), share.size(batch_size)
    weight = steps * batch_size / count

    def fill(images, targets):
        there = tf.shape(images)[0]
        weights = tf.cast(tf.fill((there,), weight), tf.float32)
        return tuple(_filled(part, size - there, size) for part in (images, targets, weights))

    filled = batches.map(fill, num_parallel_calls=tf.data.AUTOTUNE)
    if len(filled) == steps:
        return filled
    fillers = tuple(tf.zeros(spec.shape, spec.dtype) for spec in filled.element_spec)
    return filled.concatenate(tf.data.Dataset.from_tensors(fillers).repeat(steps - len(filled)))


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
    kept = tf.data.Dataset.from_tensor_slices(tuple(np.stack(column) for column in columns))
    return kept.with_options(plain_options())
