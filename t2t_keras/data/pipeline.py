"""The batches a model trains and is evaluated on.

What a training batch holds depends on (seed, epoch, step) alone: not on the machine's speed, not
on where a run was interrupted. Pictures stay uint8 up to the batch, and are normalised there.
"""

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from t2t_keras.data.augmentation import (
    AUGMENTATIONS,
    Augmentation,
    augment_batch,
    augment_picture,
    crop_picture,
    draw_pictures,
)
from t2t_keras.data.crops import evaluation_crop
from t2t_keras.data.decode import decode_picture
from t2t_keras.data.normalise import Colour, normalise
from t2t_keras.data.plain_options import plain_options
from t2t_keras.data.reading import read_batches
from t2t_keras.data.seeds import batch_seed, order_seed, split_seed
from t2t_keras.data.share import WHOLE, Share
from t2t_keras.data.sources import Source
from t2t_keras.data.targets import soft_targets
from t2t_keras.images.constants import DEFAULT_CROP_PCT, IMAGENET_MEAN, IMAGENET_STD
from t2t_keras.images.resize import Size, cover_size, target_size


def steps_per_epoch(source: Source, batch_size: int) -> int:
    """Training batches in an epoch; the remainder, other pictures every epoch, is left out.

    Raises:
        ValueError: `batch_size` is not in 1..`source.num_train`.
    """
    if not 1 <= batch_size <= source.num_train:
        raise ValueError(
            f"`batch_size` must be 1 to the {source.num_train} training pictures of {source.name}. "
            f"Received: batch_size={batch_size}"
        )
    return source.num_train // batch_size


# The graph code has no Python conditions on tensors: converting it would take seconds.
@tf.autograph.experimental.do_not_convert
def train_dataset(
    source: Source,
    image_size: int | Size,
    batch_size: int,
    seed: int,
    *,
    epochs: int,
    augmentation: Augmentation = AUGMENTATIONS["crop_flip"],
    start_step: int = 0,
    crop_pct: float = DEFAULT_CROP_PCT,
    mean: Colour = IMAGENET_MEAN,
    std: Colour = IMAGENET_STD,
    share: Share = WHOLE,
) -> tf.data.Dataset:
    """All training batches of a run, from `start_step` on.

    Every epoch takes the pictures in another order, drawn from (seed, epoch).

    Args:
        source: What to train on.
        image_size: Side in pixels, or (height, width).
        batch_size: Pictures a batch, over all devices.
        seed: Of the order and of everything random in `augmentation`.
        epochs: Of the whole run, not only of what is left after `start_step`.
        augmentation: What pictures and labels go through.
        start_step: Batches already trained on, over all epochs.
        crop_pct: Of the evaluation's crop, which "none" and "light" build on.
        mean: Of each channel, in 0..1.
        std: Of each channel, in 0..1.
        share: What this process takes of every batch, where several train together.

    Returns:
        `epochs * steps_per_epoch(source, batch_size) - start_step` batches (images, targets):
        (size, height, width, 3) float32, normalised, and (size, classes) float32, as labels are
        smoothed and mixed; `size` is `share.size(batch_size)`. Iterate inside `picture_errors()` to
        be told the file that cannot be read.

    Raises:
        ValueError: An argument is out of range.
    """
    steps = steps_per_epoch(source, batch_size)
    if not 0 <= start_step <= epochs * steps:
        raise ValueError(
            f"`start_step` must be 0 to {epochs * steps}, the run's steps. Received: {start_step=}"
        )
    size = share.size(batch_size)
    target = target_size(image_size)
    cover_size(target, crop_pct)
    split = source.train_split

    def drawn(step):
        draws, _ = _seeds(seed, step, steps)
        return draw_pictures(augmentation, draws, batch_size, share)

    def work(key, draws):
        contents, label = split.read(key)
        image = crop_picture(contents, target, crop_pct, augmentation, draws)
        return augment_picture(image, augmentation, draws, mean), label

    def finished(step, batch):
        images, labels = (tf.ensure_shape(x, (size, *x.shape[1:])) for x in batch)
        targets = soft_targets(labels, source.num_classes, augmentation.smoothing)
        _, mixed = _seeds(seed, step, steps)
        return augment_batch(images, targets, augmentation, mixed, mean, std, share)

    left = functools.partial(
        _left_of_run, seed=seed, epochs=epochs, per_epoch=steps * batch_size,
        start=start_step * batch_size,
    )  # fmt: skip
    keys, names = (
        _rows(left(elements), share, batch_size) for elements in (split.keys, split.names)
    )
    draws = tf.data.Dataset.range(start_step, epochs * steps).map(drawn).unbatch()
    batches = read_batches(keys, names, work, target, source.num_classes, size, draws)
    return _mapped(batches.enumerate(start_step), finished, epochs * steps - start_step)


@tf.autograph.experimental.do_not_convert
def eval_dataset(
    source: Source,
    image_size: int | Size,
    batch_size: int,
    *,
    crop_pct: float = DEFAULT_CROP_PCT,
    mean: Colour = IMAGENET_MEAN,
    std: Colour = IMAGENET_STD,
    share: Share = WHOLE,
) -> tf.data.Dataset:
    """Every evaluation picture once, in a fixed order, preprocessed as `load_image` does.

    Args:
        source: What to evaluate on.
        image_size: Side in pixels, or (height, width).
        batch_size: Pictures a batch; the last batch may hold fewer.
        crop_pct: Share of the resized side that the crop keeps, in (0, 1].
        mean: Of each channel, in 0..1.
        std: Of each channel, in 0..1.
        share: What this process takes of every batch, where several evaluate together; one of
            them may have a batch less than another.

    Returns:
        Batches (images, targets) of known number, as `train_dataset`'s; the targets are one-hot.

    Raises:
        ValueError: An argument is out of range.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be above 0. Received: batch_size={batch_size}")
    target = target_size(image_size)
    cover_size(target, crop_pct)
    split = source.eval_split

    def work(key):
        contents, label = split.read(key)
        return evaluation_crop(decode_picture(contents), target, crop_pct), label

    def listed(elements: tf.data.Dataset) -> tf.data.Dataset:
        return _numbered(tf.constant(0, tf.int64), elements).shard(share.count, share.index)

    size = share.size(batch_size)
    batches = read_batches(
        *(listed(split.keys(None)), listed(split.names(None))),
        *(work, target, source.num_classes, size),
    )

    def finished(images, labels):
        return normalise(images, mean, std), soft_targets(labels, source.num_classes)

    pictures = len(range(share.index, split.size, share.count))
    return _mapped(batches, finished, -(-pictures // size))


def _seeds(seed: int, step: tf.Tensor, steps: int) -> list[tf.Tensor]:
    """Of what a batch's pictures draw for themselves, and of what it draws once."""
    return split_seed(batch_seed(seed, step // steps, step % steps), 2)


def _left_of_run(
    elements: Callable[[tf.Tensor], tf.data.Dataset],
    *,
    seed: int,
    epochs: int,
    per_epoch: int,
    start: int,
) -> tf.data.Dataset:
    """(epoch, place, element) of all epochs, from the example `start` of the run on."""
    first_epoch, skipped = divmod(start, per_epoch)

    def one_epoch(epoch):
        return _numbered(epoch, elements(order_seed(seed, epoch)).take(per_epoch))

    return tf.data.Dataset.range(first_epoch, epochs).flat_map(one_epoch).skip(skipped)


def _numbered(epoch: tf.Tensor, elements: tf.data.Dataset) -> tf.data.Dataset:
    """(epoch, place, element) of one epoch's elements."""
    places = tf.data.Dataset.range(tf.int64.max)
    return tf.data.Dataset.zip(tf.data.Dataset.from_tensors(epoch).repeat(), places, elements)


def _rows(elements: tf.data.Dataset, share: Share, batch_size: int) -> tf.data.Dataset:
    """Those (epoch, place, element) that lie in a share of their batch."""
    if share.count == 1:
        return elements
    held = np.isin(np.arange(batch_size), share.rows(batch_size))
    return elements.filter(lambda epoch, place, element: tf.gather(held, place % batch_size))


def _mapped(batches: tf.data.Dataset, finished: Callable, count: int) -> tf.data.Dataset:
    batches = batches.map(finished, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    batches = batches.apply(tf.data.experimental.assert_cardinality(count))
    return batches.prefetch(tf.data.AUTOTUNE).with_options(plain_options())
