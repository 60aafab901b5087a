"""What `fit` is given in a run: images, or the features of a frozen backbone."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from sklearn.utils.class_weight import compute_class_weight

from t2t_keras.data.ops.seeds import Shard
from t2t_keras.data.pipeline import train_dataset
from t2t_keras.data.settings import (
    AUGMENTATIONS,
    Augmentation,
    MixupConfig,
    RandomErasingConfig,
    parse_rand_augment,
)
from t2t_keras.data.sources.source import Source
from t2t_keras.images.constants import Color
from t2t_keras.training.config import BACKBONE, NOT_USED, TrainConfig
from t2t_keras.training.devices import Devices
from t2t_keras.training.evaluation import translate_errors, validation_batches
from t2t_keras.training.linear_probe import cached_features, feature_batches, validation_features
from t2t_keras.training.sources import kept_if_small, normalization


def augmentation_of(config: TrainConfig) -> Augmentation:
    """The augmentation of a run's training images and their labels."""
    rand_augment = mixing = erasing = None
    if config.rand_augment != NOT_USED:
        rand_augment = parse_rand_augment(config.rand_augment)
    if config.mixup or config.cutmix:
        mixing = MixupConfig(
            mixup_alpha=config.mixup,
            cutmix_alpha=config.cutmix,
            probability=config.mixup_prob,
            switch_probability=config.mixup_switch_prob,
        )
    if config.erasing:
        erasing = RandomErasingConfig(probability=config.erasing, mode=config.erasing_mode)
    return dataclasses.replace(
        AUGMENTATIONS[config.augment],
        rand_augment=rand_augment,
        color_jitter=config.color_jitter,
        mixing=mixing,
        erasing=erasing,
        smoothing=config.smoothing,
    )


def balanced_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """(classes,) float32: the share that a class would have among equals, over the one it has.

    Args:
        labels: (N,) whole numbers in 0..classes-1.
        classes: Number of classes; one without images has weight 1.
    """
    weights = np.ones(classes, np.float32)
    present = np.unique(labels)
    weights[present] = compute_class_weight("balanced", classes=present, y=labels)
    return weights


def weighted(
    batches: tf.data.Dataset, weights: np.ndarray, smoothing: float = 0.0
) -> tf.data.Dataset:
    """Batches (inputs, targets) with the weight of each of them; mixed ones have a mixed weight.

    Args:
        batches: Of inputs and (B, classes) targets.
        weights: (classes,), each class' own.
        smoothing: Fraction of every target that is spread over all classes, in [0, 1): no class'.
    """
    known = tf.constant(weights)

    def with_weights(inputs, targets):
        plain = (targets - smoothing / len(weights)) / (1 - smoothing)
        return inputs, targets, tf.linalg.matvec(plain, known)

    return batches.map(with_weights, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


_BATCHES = 4
_SHOWN = 16  # images of each


def log_first_batches(batches: tf.data.Dataset, folder: Path, mean: Color, std: Color) -> None:
    """Writes the first images of the first batches as events, one a step.

    Args:
        batches: A run's training batches, from its beginning; normalized images come first.
        folder: TensorBoard's.
        mean: Of each channel, in 0..1, that the images were normalized by.
        std: The same.
    """
    with tf.summary.create_file_writer(str(folder / "train")).as_default():
        for step, (images, *_) in enumerate(batches.take(_BATCHES)):
            seen = np.clip(images[:_SHOWN].numpy() * std + mean, 0.0, 1.0)
            tf.summary.image("first_batches", seen, step=step, max_outputs=_SHOWN)


@dataclasses.dataclass(frozen=True, eq=False)
class RunInputs:
    """The batches of a run.

    Args:
        training: A step, over all epochs -> the batches from there on.
        validation: The evaluation batches.
    """

    training: Callable[[int], tf.data.Dataset]
    validation: tf.data.Dataset


def run_inputs(
    full_model: keras.Model,
    config: TrainConfig,
    source: Source,
    epochs: int,
    folder: Path,
    devices: Devices,
) -> RunInputs:
    """Makes the batches of a run.

    Args:
        full_model: The model from images to classes.
        config: The settings.
        source: What is trained on, and what the best weights are chosen on.
        epochs: Of the whole run.
        folder: The run's, where features are kept.
        devices: What computes them; what they are fed is made of these batches.

    Raises:
        DataError: An image cannot be read, or kept features are damaged.
    """
    if config.freeze == BACKBONE:
        features = cached_features(full_model, config, source, folder, devices)
        training = functools.partial(feature_batches, features, config, source.num_classes, epochs)
        validation = validation_features(features, config.batch_size, source.num_classes)
    else:
        training = functools.partial(_image_batches, config, source, epochs, devices.shard)
        validation = validation_batches(config, source, devices.shard)
    if config.class_weight == NOT_USED:
        return RunInputs(training, validation)
    with translate_errors():
        weights = balanced_weights(source.train_split.every_label(), source.num_classes)
    return RunInputs(lambda step: weighted(training(step), weights, config.smoothing), validation)


def fed_validation(inputs: RunInputs, devices: Devices):
    """The evaluation batches as the devices take them, read once where they are small."""
    return devices.feed(kept_if_small(inputs.validation))


def _image_batches(
    config: TrainConfig, source: Source, epochs: int, shard: Shard, step: int
) -> tf.data.Dataset:
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
        **normalization(config),
    )
