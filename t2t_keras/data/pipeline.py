"""The batches a model trains and is evaluated on.

What a training batch holds depends on (seed, epoch, step) alone: not on the machine's speed, not
on where a run was interrupted. Images stay uint8 up to the batch, and are normalized there.
"""

import contextlib
import functools
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from t2t_keras.data.augmentation import (
    AUGMENTATIONS,
    Augmentation,
    augment_batch,
    augment_image,
    crop_image,
    sample_augmentation,
)
from t2t_keras.data.ops.crops import evaluation_crop
from t2t_keras.data.ops.decode import decode_image
from t2t_keras.data.ops.graph import plain_options
from t2t_keras.data.ops.mixup import soft_targets
from t2t_keras.data.ops.normalize import Color, normalize
from t2t_keras.data.ops.seeds import SINGLE, Shard, batch_seed, order_seed, split_seed
from t2t_keras.data.sources.source import Source
from t2t_keras.errors import DataError
from t2t_keras.images.constants import DEFAULT_CROP_PCT, IMAGENET_MEAN, IMAGENET_STD
from t2t_keras.images.decode import read_rgb
from t2t_keras.images.resize import Size, cover_size, target_size


def batch_names(source: Source, batch_size: int, seed: int, epoch: int, step: int) -> list[str]:
    """What messages call the images of a batch of `train_dataset`.

    Args:
        source: What is trained on.
        batch_size: Images a batch.
        seed: The run's.
        epoch: From 0.
        step: Within the epoch, from 0.

    Returns:
        `batch_size` files in the order of the batch; for records, which do not say where they
        stood, one line that says which places of the epoch's order they had.
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


_UNREADABLE = "t2t_keras: cannot read <"
_LABEL = "t2t_keras: bad label <"
_CLOSE = "> of the dataset"
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def read_batches(
    keys: tf.data.Dataset,
    names: tf.data.Dataset,
    work: Callable[..., tuple[tf.Tensor, tf.Tensor]],
    target: Size,
    num_classes: int,
    batch_size: int,
    *draws: tf.data.Dataset,
) -> tf.data.Dataset:
    """Makes an image and a label of every key, in order and in batches.

    Args:
        keys: Elements (epoch, place in the epoch, key).
        names: As many elements (epoch, place, what to call the image in a message).
        work: Graph code: (key, draws) -> (height, width, 3) uint8 and () int32 label.
        target: The images' (height, width).
        num_classes: Labels must be below it.
        batch_size: Of every batch but perhaps the last.
        *draws: What else `work` takes, an element a key.

    Returns:
        A dataset of (images, labels). Iterating it raises `tf.errors.InvalidArgumentError`
        where an image cannot be read or a label is out of range.
    """

    def made(numbered, *drawn):
        epoch, place, key = numbered
        return (epoch, place, *work(key, *drawn))

    def checked(asked, got):
        epochs, places, called = asked
        count = tf.size(places)
        got_epochs, got_places, images, labels = (part[:count] for part in got)
        there = (epochs == got_epochs) & (places == got_places)
        in_range = (labels >= 0) & (labels < num_classes)
        first_bad = tf.argmin(tf.cast(there & in_range, tf.int32))
        report = tf.where(
            there[first_bad],
            _label_report(called[first_bad], labels[first_bad], num_classes),
            tf.strings.join([_UNREADABLE, called[first_bad], _CLOSE]),
        )
        good = tf.debugging.Assert(tf.reduce_all(there & in_range), [report])
        with tf.control_dependencies([good]):
            return tf.ensure_shape(images, (None, *target, 3)), tf.identity(labels)

    examples = tf.data.Dataset.zip((keys, *draws))
    examples = examples.map(made, num_parallel_calls=os.cpu_count(), deterministic=True)
    examples = examples.ignore_errors(log_warning=False)
    # Stands in for what was dropped, so that even a last batch is full enough to be compared.
    nowhere = (tf.constant(-1, tf.int64),) * 2
    filling = (*nowhere, tf.zeros((*target, 3), tf.uint8), tf.constant(0, tf.int32))
    examples = examples.concatenate(tf.data.Dataset.from_tensors(filling).repeat(batch_size))
    batches = tf.data.Dataset.zip((names.batch(batch_size), examples.batch(batch_size)))
    return batches.map(checked, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


@contextlib.contextmanager
def image_errors() -> Iterator[None]:
    """Raises a `DataError` naming the file where iterating a pipeline inside found a bad image.

    Raises:
        DataError: An image cannot be read, or its label is out of range.
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        explained = _explain(error.message)
        if explained is None:
            raise
        raise DataError(explained) from error


def _label_report(name: tf.Tensor, label: tf.Tensor, num_classes: int) -> tf.Tensor:
    text = [_LABEL, name, ": label ", tf.strings.as_string(label)]
    return tf.strings.join([*text, f" is outside 0..{num_classes - 1}", _CLOSE])


def _explain(message: str) -> str | None:
    found = re.search(f"({_UNREADABLE}|{_LABEL})(.*?){_CLOSE}", message, re.DOTALL)
    if found is None:
        return None
    kind, what = found[1], _unescaped(found[2])
    if kind == _LABEL:
        return f"{what}. Correct the labels, or choose a labeled split."
    if os.path.isfile(what):
        try:
            read_rgb(what)
        except DataError as error:
            return str(error)
    return (
        f"{what}: cannot be read. It is damaged, or no JPEG, PNG, WebP, GIF or 24-bit BMP; "
        "convert, replace or remove it."
    )


def _unescaped(text: str) -> str:
    """Undoes what TensorFlow does to the strings in an assertion's message."""

    def plain(match):
        code = match[1]
        octal = len(code) == 3
        return bytes([int(code, 8)]) if octal else _ESCAPED.get(code, code)

    return os.fsdecode(re.sub(rb"\\([0-7]{3}|.)", plain, os.fsencode(text)))


def steps_per_epoch(source: Source, batch_size: int) -> int:
    """Training batches in an epoch; the remainder, other images every epoch, is left out.

    Raises:
        ValueError: `batch_size` is not in 1..`source.num_train`.
    """
    if not 1 <= batch_size <= source.num_train:
        raise ValueError(
            f"`batch_size` must be 1 to the {source.num_train} training images of {source.name}. "
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
    mean: Color = IMAGENET_MEAN,
    std: Color = IMAGENET_STD,
    shard: Shard = SINGLE,
) -> tf.data.Dataset:
    """All training batches of a run, from `start_step` on.

    Every epoch takes the images in another order, drawn from (seed, epoch).

    Args:
        source: What to train on.
        image_size: Side in pixels, or (height, width).
        batch_size: Images a batch, over all devices.
        seed: Of the order and of everything random in `augmentation`.
        epochs: Of the whole run, not only of what is left after `start_step`.
        augmentation: What images and labels go through.
        start_step: Batches already trained on, over all epochs.
        crop_pct: Of the evaluation's crop, which "none" and "light" build on.
        mean: Of each channel, in 0..1.
        std: Of each channel, in 0..1.
        shard: What this process takes of every batch, where several train together.

    Returns:
        `epochs * steps_per_epoch(source, batch_size) - start_step` batches (images, targets):
        (size, height, width, 3) float32, normalized, and (size, classes) float32, as labels are
        smoothed and mixed; `size` is `shard.size(batch_size)`. Iterate inside `image_errors()` to
        be told the file that cannot be read.

    Raises:
        ValueError: An argument is out of range.
    """
    steps = steps_per_epoch(source, batch_size)
    if not 0 <= start_step <= epochs * steps:
        raise ValueError(
            f"`start_step` must be 0 to {epochs * steps}, the run's steps. Received: {start_step=}"
        )
    size = shard.size(batch_size)
    target = target_size(image_size)
    cover_size(target, crop_pct)
    split = source.train_split

    def drawn(step):
        draws, _ = _seeds(seed, step, steps)
        return sample_augmentation(augmentation, draws, batch_size, shard)

    def work(key, draws):
        contents, label = split.read(key)
        image = crop_image(contents, target, crop_pct, augmentation, draws)
        return augment_image(image, augmentation, draws, mean), label

    def finished(step, batch):
        images, labels = (tf.ensure_shape(x, (size, *x.shape[1:])) for x in batch)
        targets = soft_targets(labels, source.num_classes, augmentation.smoothing)
        _, mixed = _seeds(seed, step, steps)
        return augment_batch(images, targets, augmentation, mixed, mean, std, shard)

    left = functools.partial(
        _left_of_run, seed=seed, epochs=epochs, per_epoch=steps * batch_size,
        start=start_step * batch_size,
    )  # fmt: skip
    keys, names = (
        _rows(left(elements), shard, batch_size) for elements in (split.keys, split.names)
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
    mean: Color = IMAGENET_MEAN,
    std: Color = IMAGENET_STD,
    shard: Shard = SINGLE,
) -> tf.data.Dataset:
    """Every evaluation image once, in a fixed order, preprocessed as `load_image` does.

    Args:
        source: What to evaluate on.
        image_size: Side in pixels, or (height, width).
        batch_size: Images a batch; the last batch may hold fewer.
        crop_pct: Fraction of the resized side that the crop keeps, in (0, 1].
        mean: Of each channel, in 0..1.
        std: Of each channel, in 0..1.
        shard: What this process takes of every batch, where several evaluate together; one of
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
        return evaluation_crop(decode_image(contents), target, crop_pct), label

    def listed(elements: tf.data.Dataset) -> tf.data.Dataset:
        return _numbered(tf.constant(0, tf.int64), elements).shard(shard.count, shard.index)

    size = shard.size(batch_size)
    batches = read_batches(
        *(listed(split.keys(None)), listed(split.names(None))),
        *(work, target, source.num_classes, size),
    )

    def finished(images, labels):
        return normalize(images, mean, std), soft_targets(labels, source.num_classes)

    count = len(range(shard.index, split.size, shard.count))
    return _mapped(batches, finished, -(-count // size))


def _seeds(seed: int, step: tf.Tensor, steps: int) -> list[tf.Tensor]:
    """Of what a batch's images draw for themselves, and of what it draws once."""
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


def _rows(elements: tf.data.Dataset, shard: Shard, batch_size: int) -> tf.data.Dataset:
    """Those (epoch, place, element) that lie in a share of their batch."""
    if shard.count == 1:
        return elements
    held = np.isin(np.arange(batch_size), shard.rows(batch_size))
    return elements.filter(lambda epoch, place, element: tf.gather(held, place % batch_size))


def _mapped(batches: tf.data.Dataset, finished: Callable, count: int) -> tf.data.Dataset:
    batches = batches.map(finished, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    batches = batches.apply(tf.data.experimental.assert_cardinality(count))
    return batches.prefetch(tf.data.AUTOTUNE).with_options(plain_options())
