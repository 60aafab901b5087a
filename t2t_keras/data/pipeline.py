"""The batches a model trains and is evaluated on.

The contents of a training batch depend on (seed, epoch, step) alone: not on the machine's speed,
nor on where a run was interrupted. Images stay uint8 up to the batch, and are normalized there.
"""

import os
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from t2t_keras.data.augmentation import (
    AugmentationParams,
    augment_batch,
    augment_image,
    crop_image,
    sample_augmentation,
)
from t2t_keras.data.ops.color import normalize
from t2t_keras.data.ops.crops import evaluation_crop
from t2t_keras.data.ops.decode import decode_image
from t2t_keras.data.ops.graph import assert_op, plain_options
from t2t_keras.data.ops.mixup import soft_targets
from t2t_keras.data.ops.seeds import SINGLE, Shard, batch_seed, order_seed, split_seed
from t2t_keras.data.settings import AUGMENTATIONS, Augmentation
from t2t_keras.data.sources.source import Source
from t2t_keras.data.sources.splits import Split
from t2t_keras.errors import check
from t2t_keras.images.constants import DEFAULT_CROP_PCT, IMAGENET_MEAN, IMAGENET_STD, Color
from t2t_keras.images.resize import Size, cover_size, target_size


def steps_per_epoch(source: Source, batch_size: int) -> int:
    """Number of training batches in an epoch, without the remainder, which is new every epoch.

    Args:
        source: The dataset to train on.
        batch_size: Images a batch, over all devices.

    Raises:
        ValueError: `batch_size` is not in 1..`source.num_train`.
    """
    expected = f"1 to the {source.num_train} training images of {source.name}"
    check(1 <= batch_size <= source.num_train, "batch_size", batch_size, expected)
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
    mean: Color = IMAGENET_MEAN,
    std: Color = IMAGENET_STD,
    shard: Shard = SINGLE,
) -> tf.data.Dataset:
    """Makes all training batches of a run, from `start_step`.

    Every epoch takes the images in another order, sampled from (seed, epoch).

    Args:
        source: The dataset to train on.
        image_size: Side in pixels, or (height, width).
        batch_size: Images a batch, over all devices.
        seed: Seed of the order and of everything random in `augmentation`.
        epochs: Length of the whole run, not only of what is left after `start_step`.
        augmentation: Changes to images and labels.
        start_step: Batches already trained on, over all epochs.
        crop_pct: Fraction that the evaluation's crop keeps; "none" and "light" build on it.
        mean: Mean of each channel, in 0..1.
        std: Standard deviation of each channel, in 0..1.
        shard: Rows of every batch that this process takes, where several train together.

    Returns:
        `epochs * steps_per_epoch(source, batch_size) - start_step` batches (images, targets):
        (size, height, width, 3) float32, normalized, and (size, classes) float32, as labels are
        smoothed and mixed; `size` is `shard.size(batch_size)`. Iterate inside
        `image_errors(source)` to be told the file that cannot be read.

    Raises:
        ValueError: An argument is out of range.
    """
    steps = steps_per_epoch(source, batch_size)
    last = epochs * steps
    check(0 <= start_step <= last, "start_step", start_step, f"0 to {last}, the run's steps")
    size = shard.size(batch_size)
    target = target_size(image_size)
    cover_size(target, crop_pct)
    split: Any = source.train_split  # a source to train on has one

    def seeds(step: tf.Tensor) -> list[tf.Tensor]:
        # The first is for what is random about each image, the second about the batch.
        return split_seed(batch_seed(seed, step // steps, step % steps), 2)

    def sample(step: tf.Tensor) -> AugmentationParams:
        return sample_augmentation(augmentation, seeds(step)[0], batch_size, shard)

    def prepare(key: tf.Tensor, params: AugmentationParams) -> tuple[tf.Tensor, tf.Tensor]:
        contents, label = split.read(key)
        image = crop_image(contents, target, crop_pct, augmentation, params)
        return augment_image(image, augmentation, params, mean), label

    def finish(step: tf.Tensor, batch: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
        images, labels = batch
        targets = _targets(labels, source, augmentation.smoothing)
        return augment_batch(images, targets, augmentation, seeds(step)[1], mean, std, shard)

    first_epoch, skipped = divmod(start_step, steps)
    keys = _keys_of_epochs(split, seed, range(first_epoch, epochs), steps * batch_size)
    keys = keys.skip(skipped * batch_size)
    if shard.count > 1:
        rows = shard.rows(batch_size)
        keys = keys.batch(batch_size).map(lambda batch: tf.gather(batch, rows)).unbatch()
    params = tf.data.Dataset.range(start_step, last).map(sample).unbatch()
    examples = _read(tf.data.Dataset.zip(keys, params), prepare)
    batches = examples.batch(size, drop_remainder=True).enumerate(start_step)
    return _finished(batches, finish, last - start_step)


@tf.autograph.experimental.do_not_convert
def eval_dataset(
    source: Source,
    image_size: int | Size,
    batch_size: int,
    *,
    crop_pct: float = DEFAULT_CROP_PCT,
    mean: Color = IMAGENET_MEAN,
    std: Color = IMAGENET_STD,
    shard: Shard = SINGLE,
) -> tf.data.Dataset:
    """Makes batches of every evaluation image once, preprocessed as `load_image` does.

    Args:
        source: The dataset to evaluate on.
        image_size: Side in pixels, or (height, width).
        batch_size: Images a batch; the last batch may hold fewer.
        crop_pct: Fraction of the resized side that the crop keeps, in (0, 1].
        mean: Mean of each channel, in 0..1.
        std: Standard deviation of each channel, in 0..1.
        shard: Rows of every batch that this process takes, where several evaluate together; one of
            them may have a batch fewer than another.

    Returns:
        Batches (images, targets) of known number, as `train_dataset`'s, in a fixed order; the
        targets are one-hot.

    Raises:
        ValueError: An argument is out of range.
    """
    check(batch_size >= 1, "batch_size", batch_size, "above 0")
    target = target_size(image_size)
    cover_size(target, crop_pct)
    split = source.eval_split

    def prepare(key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        contents, label = split.read(key)
        return evaluation_crop(decode_image(contents), target, crop_pct), label

    def finish(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return normalize(images, mean, std), _targets(labels, source)

    size = shard.size(batch_size)
    keys = split.keys(None).shard(shard.count, shard.index)
    count = len(range(shard.index, split.size, shard.count))
    batches = _read(_of_length(keys, count), prepare).batch(size)
    return _finished(batches, finish, -(-count // size))


def batch_split(source: Source, batch_size: int, seed: int, epoch: int, step: int) -> Split:
    """Finds the images of a batch of `train_dataset`, in its order; `step` counts in its epoch.

    Of records, which do not say where they were stored, it is the whole split.
    """
    split: Any = source.train_split  # a source to train on has one
    return split.part(order_seed(seed, epoch), step * batch_size, batch_size)


def batch_names(source: Source, batch_size: int, seed: int, epoch: int, step: int) -> list[str]:
    """Names the images of `batch_split`; of records there is one line, with their places."""
    batch = batch_split(source, batch_size, seed, epoch, step)
    if batch is not source.train_split:
        return batch.files()
    places = f"{step * batch_size} to {(step + 1) * batch_size - 1}"
    return [f"{source.name}: places {places} of the order of epoch {epoch + 1}, from 0"]


def _keys_of_epochs(split: Split, seed: int, epochs: range, count: int) -> tf.data.Dataset:
    """The first `count` keys of the order of each epoch."""

    def of_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        return _of_length(split.keys(order_seed(seed, epoch)).take(count), count)

    return tf.data.Dataset.range(epochs.start, epochs.stop).flat_map(of_epoch)


def _of_length(keys: tf.data.Dataset, count: int) -> tf.data.Dataset:
    """Fails where there are fewer, as of a file that holds fewer records than it should."""
    return keys.apply(tf.data.experimental.assert_cardinality(count))


def _read(keys: tf.data.Dataset, prepare: Callable) -> tf.data.Dataset:
    return keys.map(prepare, num_parallel_calls=os.cpu_count(), deterministic=True)


def _targets(labels: tf.Tensor, source: Source, smoothing: float = 0.0) -> tf.Tensor:
    in_range = tf.reduce_all((labels >= 0) & (labels < source.num_classes))
    with tf.control_dependencies([assert_op(in_range, "a label is out of range")]):
        return soft_targets(labels, source.num_classes, smoothing)


def _finished(batches: tf.data.Dataset, finish: Callable, count: int) -> tf.data.Dataset:
    batches = batches.map(finish, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    batches = _of_length(batches, count)
    return batches.prefetch(tf.data.AUTOTUNE).with_options(plain_options())
