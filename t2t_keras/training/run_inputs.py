"""What `fit` is given in a run: pictures, or the features of a frozen backbone."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from t2t_keras.data import Share, Source, train_dataset
from t2t_keras.training.batches import kept_if_small
from t2t_keras.training.class_weights import balanced_weights, weighted
from t2t_keras.training.config import BACKBONE, NOT_USED, TrainConfig
from t2t_keras.training.devices import Devices
from t2t_keras.training.evaluation import known_errors, validation_batches
from t2t_keras.training.linear_probe import (
    cached_features,
    feature_batches,
    validation_features,
)


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
        full_model: The model from pictures to classes.
        config: The settings.
        source: What is trained on, and what the best weights are chosen on.
        epochs: Of the whole run.
        folder: The run's, where features are kept.
        devices: What computes them; what they are fed is made of these batches.

    Raises:
        DataError: A picture cannot be read, or kept features are damaged.
    """
    if config.freeze == BACKBONE:
        features = cached_features(full_model, config, source, folder, devices)
        training = functools.partial(feature_batches, features, config, source.num_classes, epochs)
        validation = validation_features(features, config.batch_size, source.num_classes)
    else:
        training = functools.partial(_picture_batches, config, source, epochs, devices.share)
        validation = validation_batches(config, source, devices.share)
    if config.class_weight == NOT_USED:
        return RunInputs(training, validation)
    with known_errors():
        weights = balanced_weights(source.train_split.every_label(), source.num_classes)
    return RunInputs(lambda step: weighted(training(step), weights, config.smoothing), validation)


def fed_validation(inputs: RunInputs, devices: Devices):
    """The evaluation batches as the devices take them, read once where they are small."""
    return devices.feed(kept_if_small(inputs.validation))


def _picture_batches(
    config: TrainConfig, source: Source, epochs: int, share: Share, step: int
) -> tf.data.Dataset:
    return train_dataset(
        source,
        config.image_size,
        config.batch_size,
        config.seed,
        epochs=epochs,
        augmentation=config.augmentation,
        start_step=step,
        crop_pct=config.crop_pct,
        share=share,
        **config.colours,
    )
