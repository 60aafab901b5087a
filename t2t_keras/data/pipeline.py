"""The batches a model trains and is evaluated on.

The contents of a training batch depend on (seed, epoch, step) alone: not on the machine's speed,
nor on where a run was interrupted. Images stay uint8 up to the batch, and are normalized there.
"""

import contextlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
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
from t2t_keras.data.ops.graph import drop_failing, plain_options
from t2t_keras.data.ops.mixup import soft_targets
from t2t_keras.data.ops.seeds import SINGLE, Shard, batch_seed, order_seed, split_seed
from t2t_keras.data.settings import AUGMENTATIONS, Augmentation
from t2t_keras.data.sources.source import Source
from t2t_keras.errors import DataError, check
from t2t_keras.images.constants import DEFAULT_CROP_PCT, IMAGENET_MEAN, IMAGENET_STD, Color
from t2t_keras.images.decode import read_rgb
from t2t_keras.images.resize import Size, cover_size, target_size

_UNREADABLE = "t2t_keras: cannot read <"
_LABEL = "t2t_keras: bad label <"
_CLOSE = "> of the dataset"


@contextlib.contextmanager
def image_errors() -> Iterator[None]:
    """Raises a `DataError` naming the file where iterating a pipeline inside found a bad image.

    Raises:
        DataError: An image cannot be read, or its label is out of range.
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        found = re.search(f"({_UNREADABLE}|{_LABEL})(.*?){_CLOSE}", error.message, re.DOTALL)
        if found is None:
            raise
        # TensorFlow escapes the strings in an assertion's message, byte by byte.
        name = os.fsencode(found[2]).decode("unicode_escape").encode("latin-1")
        raise DataError(_explain(found[1], os.fsdecode(name))) from error


def _explain(kind: str, name: str) -> str:
    if kind == _LABEL:
        return f"{name}. Correct the labels, or choose a labeled split."
    if os.path.isfile(name):
        try:
            read_rgb(name)
        except DataError as error:
            return str(error)
    return (
        f"{name}: cannot be read. It is damaged, or no JPEG, PNG, WebP, GIF or BMP; convert, "
        "replace or remove it."
    )


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
        smoothed and mixed; `size` is `shard.size(batch_size)`. Iterate inside `image_errors()` to
        be told the file that cannot be read.

    Raises:
        ValueError: An argument is out of range.
    """
    steps = steps_per_epoch(source, batch_size)
    last = epochs * steps
    check(0 <= start_step <= last, "start_step", start_step, f"0 to {last}, the run's steps")
    size = shard.size(batch_size)
    target = target_size(image_size)
    cover_size(target, crop_pct)
    split = source.train_split

    def seeds(step: tf.Tensor) -> tf.Tensor:  # for each image, and for the batch
        return split_seed(batch_seed(seed, step // steps, step % steps), 2)

    def sample(step: tf.Tensor) -> AugmentationParams:
        return sample_augmentation(augmentation, seeds(step)[0], batch_size, shard)

    def prepare(key: tf.Tensor, params: AugmentationParams) -> tuple[tf.Tensor, ...]:
        contents, label = split.read(key)
        image = crop_image(contents, target, crop_pct, augmentation, params)
        return augment_image(image, augmentation, params, mean), label

    def finish(step: tf.Tensor, batch: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
        images, labels = (tf.ensure_shape(x, (size, *x.shape[1:])) for x in batch)
        targets = soft_targets(labels, source.num_classes, augmentation.smoothing)
        return augment_batch(images, targets, augmentation, seeds(step)[1], mean, std, shard)

    def rows(elements: Callable[..., tf.data.Dataset]) -> tf.data.Dataset:
        left = _rest_of_run(elements, seed, epochs, steps * batch_size, start_step * batch_size)
        if shard.count == 1:
            return left
        taken = np.isin(np.arange(batch_size), shard.rows(batch_size))
        return left.filter(lambda epoch, place, element: tf.gather(taken, place % batch_size))

    params = tf.data.Dataset.range(start_step, last).map(sample).unbatch()
    keys, names = rows(split.keys), rows(split.names)
    batches = _read_batches(keys, names, prepare, target, source.num_classes, size, params)
    return _finished(batches.enumerate(start_step), finish, last - start_step)


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

    def prepare(key: tf.Tensor) -> tuple[tf.Tensor, ...]:
        contents, label = split.read(key)
        return evaluation_crop(decode_image(contents), target, crop_pct), label

    def finish(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return normalize(images, mean, std), soft_targets(labels, source.num_classes)

    def rows(elements: Callable[..., tf.data.Dataset]) -> tf.data.Dataset:
        return _placed(tf.constant(0, tf.int64), elements(None)).shard(shard.count, shard.index)

    size = shard.size(batch_size)
    keys, names = rows(split.keys), rows(split.names)
    batches = _read_batches(keys, names, prepare, target, source.num_classes, size)
    count = len(range(shard.index, split.size, shard.count))
    return _finished(batches, finish, -(-count // size))


def batch_names(source: Source, batch_size: int, seed: int, epoch: int, step: int) -> list[str]:
    """Names the images of a batch of `train_dataset`, in its order; `step` counts in its epoch.

    Records do not say where they were stored: they get one line, with the places in the order.
    """
    names = source.train_split.names(order_seed(seed, epoch))
    first = step * batch_size
    taken = names.skip(first).take(batch_size).as_numpy_iterator()
    counts = Counter(os.fsdecode(name) for name in taken)
    if len(counts) == 1 and batch_size > 1:
        (name,) = counts
        places = f"{first} to {first + batch_size - 1}"
        return [f"{name}: places {places} of the order of epoch {epoch + 1}, from 0"]
    return list(counts.elements())


def _rest_of_run(
    elements: Callable[[tf.Tensor], tf.data.Dataset],
    seed: int,
    epochs: int,
    per_epoch: int,
    start: int,
) -> tf.data.Dataset:
    """(epoch, place, element) of all epochs, from the run's example `start`."""
    first_epoch, skipped = divmod(start, per_epoch)

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        return _placed(epoch, elements(order_seed(seed, epoch)).take(per_epoch))

    return tf.data.Dataset.range(first_epoch, epochs).flat_map(one_epoch).skip(skipped)


def _placed(epoch: tf.Tensor, elements: tf.data.Dataset) -> tf.data.Dataset:
    """(epoch, place, element) of one epoch's elements."""
    places = tf.data.Dataset.range(tf.int64.max)
    return tf.data.Dataset.zip(tf.data.Dataset.from_tensors(epoch).repeat(), places, elements)


def _read_batches(
    keys: tf.data.Dataset,
    names: tf.data.Dataset,
    prepare: Callable[..., tuple[tf.Tensor, tf.Tensor]],
    target: Size,
    num_classes: int,
    batch_size: int,
    *params: tf.data.Dataset,
) -> tf.data.Dataset:
    """Makes an image and a label of every (epoch, place, key), in order and in batches.

    An example that fails is dropped first, and found missing by its place: tf.data's error would
    not name the file, as `names` does. `prepare` makes uint8 and int32 of a key and its params.
    """

    def with_image(key: tuple[tf.Tensor, ...], *params: Any) -> tuple[tf.Tensor, ...]:
        epoch, place, key = key
        return (epoch, place, *prepare(key, *params))

    def checked(expected: tuple, read: tuple) -> tuple[tf.Tensor, ...]:
        epochs, places, image_names = expected
        read_epochs, read_places, images, labels = (part[: tf.size(places)] for part in read)
        there = (epochs == read_epochs) & (places == read_places)
        in_range = (labels >= 0) & (labels < num_classes)
        bad = tf.argmin(tf.cast(there & in_range, tf.int32))
        label = tf.strings.as_string(labels[bad])
        limit = f" is outside 0..{num_classes - 1}"
        report = tf.where(
            there[bad],
            tf.strings.join([_LABEL, image_names[bad], ": label ", label, limit, _CLOSE]),
            tf.strings.join([_UNREADABLE, image_names[bad], _CLOSE]),
        )
        good = tf.debugging.Assert(tf.reduce_all(there & in_range), [report])
        with tf.control_dependencies([good]):
            return tf.ensure_shape(images, (None, *target, 3)), tf.identity(labels)

    examples = tf.data.Dataset.zip((keys, *params))
    examples = examples.map(with_image, num_parallel_calls=os.cpu_count(), deterministic=True)
    # Stands in for what was dropped, so that even a last batch is full enough to be compared.
    nowhere = (tf.constant(-1, tf.int64),) * 2
    filling = (*nowhere, tf.zeros((*target, 3), tf.uint8), tf.constant(0, tf.int32))
    filling = tf.data.Dataset.from_tensors(filling).repeat(batch_size)
    examples = drop_failing(examples).concatenate(filling)
    batches = tf.data.Dataset.zip((names.batch(batch_size), examples.batch(batch_size)))
    return batches.map(checked, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _finished(batches: tf.data.Dataset, finish: Callable, count: int) -> tf.data.Dataset:
    batches = batches.map(finish, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    batches = batches.apply(tf.data.experimental.assert_cardinality(count))
    return batches.prefetch(tf.data.AUTOTUNE).with_options(plain_options())
