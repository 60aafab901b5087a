"""The batches of a run: training images, evaluation images, and their weights."""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from t2t_keras.data.inspection import image_errors
from t2t_keras.data.ops.graph import plain_options
from t2t_keras.data.ops.seeds import SINGLE, Shard
from t2t_keras.data.pipeline import batch_names, batch_split, eval_dataset, train_dataset
from t2t_keras.data.settings import AUGMENTATIONS, Augmentation, parse_rand_augment, settings_of
from t2t_keras.data.sources.source import Source
from t2t_keras.data.sources.splits import Split
from t2t_keras.errors import TrainingError
from t2t_keras.training.checkpoint.run_state import RunState
from t2t_keras.training.config import NOT_USED, TrainConfig, settings
from t2t_keras.training.devices.processes import lost_process

_MEMORY = 64 * 2**20  # bytes
_LOGGED_BATCHES = 4
_LOGGED_IMAGES = 16  # of each batch


@dataclasses.dataclass(frozen=True, eq=False)
class RunInputs:
    """The batches of a run."""

    training: Callable[[int], tf.data.Dataset]  # a step, over all epochs -> all batches from it on
    validation: tf.data.Dataset
    # (epoch, step in it), both from 0 -> the names of a batch's images; None for features
    batch_names: Callable[[int, int], Sequence[str]] | None = None


@contextlib.contextmanager
def translate_errors(source: Source, suspects: Iterable[Split] | None = None) -> Iterator[None]:
    """Names the unreadable image, the lost process or the full disk; advises about memory."""
    try:
        with image_errors(source, suspects), lost_process():
            yield
    except (tf.errors.ResourceExhaustedError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        if "No space left" in str(error):  # TensorFlow's name for a full disk too
            raise TrainingError(
                f"The disk is full: {error}. Make room and start the same command again."
            ) from error
        raise TrainingError(
            "Memory is full. Give a smaller `batch_size`, `image_size` or `model`, or "
            "`precision=bfloat16`."
        ) from error


def next_images(config: TrainConfig, source: Source, state: RunState) -> Iterator[Split]:
    """The images of a run's next batches, some of which are fetched ahead, and its validation."""
    for step in range(state.step, state.step + _LOGGED_BATCHES):
        place = divmod(step, state.steps_per_epoch)  # the epoch, and the step in it
        batch = batch_split(source, config.batch_size, config.seed, *place)
        yield batch
        if batch is source.train_split:  # all records, once
            break
    yield source.eval_split


def augmentation_of(config: TrainConfig) -> Augmentation:
    """The augmentation of a run's training images and their labels."""
    names = {each.name for each in settings()} & {each.name for each in settings_of(Augmentation)}
    values = {name: getattr(config, name) for name in names}
    off = config.rand_augment == NOT_USED
    values["rand_augment"] = None if off else parse_rand_augment(config.rand_augment)
    return dataclasses.replace(AUGMENTATIONS[config.augment], **values)


def image_inputs(config: TrainConfig, source: Source, epochs: int, shard: Shard) -> RunInputs:
    """The batches of a run that trains on images."""

    @functools.cache  # the first batches are shown, and trained on
    def training(step: int) -> tf.data.Dataset:
        return train_dataset(
            source,
            config.image_size,
            config.batch_size,
            config.seed,
            epochs=epochs,
            augmentation=augmentation_of(config),
            start_step=step,
            crop_pct=config.crop_pct,
            shard=shard,
            **config.normalization,
        )

    return RunInputs(
        training,
        cache_if_small(validation_batches(config, source, shard)),
        functools.partial(batch_names, source, config.batch_size, config.seed),
    )


def validation_batches(
    config: TrainConfig, source: Source, shard: Shard = SINGLE
) -> tf.data.Dataset:
    """Every evaluation image with its weight, and without label smoothing."""
    batches = eval_dataset(
        source,
        config.image_size,
        config.batch_size,
        crop_pct=config.crop_pct,
        shard=shard,
        **config.normalization,
    )
    return pad_last_batch(batches, config.batch_size, source.num_eval, shard).prefetch(
        tf.data.AUTOTUNE
    )


@tf.autograph.experimental.do_not_convert  # no Python conditions on tensors
def pad_last_batch(
    batches: tf.data.Dataset, batch_size: int, count: int, shard: Shard = SINGLE
) -> tf.data.Dataset:
    """Fills the last batch up with images of weight 0, so that every device gets a full share.

    Keras divides a batch's loss by its images, fillers included, and averages over the batches:
    the weight of the others makes up for that, so loss and weighted metrics are exact.

    `batches` hold (images, (B, classes) targets); the last one may be smaller, or missing where
    other processes have one. `batch_size` and `count` are those of all processes together. Returns
    (images, targets, (size,) float32 weights), as many in every process.
    """
    steps, size = -(-count // batch_size), shard.size(batch_size)
    weight = steps * batch_size / count

    def fill(images: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, ...]:
        present = tf.shape(images)[0]
        weights = tf.cast(tf.fill((present,), weight), tf.float32)
        return tuple(_filled(part, size - present, size) for part in (images, targets, weights))

    filled = batches.map(fill, num_parallel_calls=tf.data.AUTOTUNE)
    if len(filled) == steps:
        return filled
    fillers = tuple(tf.zeros(spec.shape, spec.dtype) for spec in filled.element_spec)
    return filled.concatenate(tf.data.Dataset.from_tensors(fillers).repeat(steps - len(filled)))


def _filled(values: tf.Tensor, missing: tf.Tensor, batch_size: int) -> tf.Tensor:
    rest = values.shape[1:]
    filled = tf.pad(values, [[0, missing], *([[0, 0]] * len(rest))])
    return tf.ensure_shape(filled, (batch_size, *rest))


def cache_if_small(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Keeps a dataset of a few MB; to start its pipeline anew takes longer than an epoch of it."""
    spec = batches.element_spec
    batch_bytes = sum(math.prod(part.shape) * part.dtype.size for part in spec)
    if len(batches) * batch_bytes > _MEMORY:
        return batches
    columns = zip(*batches.as_numpy_iterator(), strict=True)
    kept = tf.data.Dataset.from_tensor_slices(tuple(np.stack(column) for column in columns))
    return kept.with_options(plain_options())


def with_class_weights(inputs: RunInputs, config: TrainConfig, source: Source) -> RunInputs:
    """Weights the training images by class, where the settings ask for it."""
    if config.class_weight == NOT_USED:
        return inputs
    train_split: Any = source.train_split  # a run's source has one
    weights = balanced_weights(train_split.every_label(), source.num_classes)
    return dataclasses.replace(
        inputs, training=lambda step: add_weights(inputs.training(step), weights, config.smoothing)
    )


def balanced_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """(classes,) float32: a class's share among equals over its own; 1 for one without images."""
    from sklearn.utils.class_weight import compute_class_weight

    weights = np.ones(classes, np.float32)
    present = np.unique(labels)
    weights[present] = compute_class_weight("balanced", classes=present, y=labels)
    return weights


def add_weights(
    batches: tf.data.Dataset, weights: np.ndarray, smoothing: float = 0.0
) -> tf.data.Dataset:
    """Adds the weight of each image to batches; mixed images have a mixed weight."""
    known = tf.constant(weights)

    def with_weights(inputs: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, ...]:
        plain = (targets - smoothing / len(weights)) / (1 - smoothing)
        return inputs, targets, tf.linalg.matvec(plain, known)

    return batches.map(with_weights, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def log_first_batches(batches: tf.data.Dataset, folder: Path, config: TrainConfig) -> None:
    """Writes the first images of a run's first batches as TensorBoard's events, one a step."""
    mean, std = config.normalization.values()
    with tf.summary.create_file_writer(str(folder / "train")).as_default():
        for step, (images, *_) in enumerate(batches.take(_LOGGED_BATCHES)):
            shown = np.clip(images[:_LOGGED_IMAGES].numpy() * std + mean, 0.0, 1.0)
            tf.summary.image("first_batches", shown, step=step, max_outputs=_LOGGED_IMAGES)
