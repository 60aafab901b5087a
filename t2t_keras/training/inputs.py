"""What `fit` is given in a run: pictures, or the features of a frozen backbone."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from sklearn.utils.class_weight import compute_class_weight

from t2t_keras.data import (
    Colour,
    Share,
    Source,
    UsableParts,
    is_folder,
    open_source,
    train_dataset,
    usable_parts,
)
from t2t_keras.training.config import BACKBONE, NOT_USED, TrainConfig
from t2t_keras.training.devices import Devices
from t2t_keras.training.evaluation import kept_if_small, known_errors, validation_batches
from t2t_keras.training.linear_probe import cached_features, feature_batches, validation_features


@dataclasses.dataclass(frozen=True, eq=False)
class RunSources:
    """What a run reads.

    Args:
        training: Its training part is trained on; on its evaluation part the best weights are
            chosen.
        test: Its evaluation part is what the final accuracy is measured on.
        selected_on: Says in words what the best weights are chosen on.
    """

    training: Source
    test: Source
    selected_on: str


def open_sources(config: TrainConfig) -> RunSources:
    """Opens the data set of a run.

    Raises:
        DataError: There is no such data set, or it cannot be used.
        ValueError: A setting does not fit it.
    """
    if config.held_out:
        return _with_held_out(config)
    source = open_source(
        config.dataset,
        config.data_dir,
        validation_split=config.validation_split,
        train_split=config.train_split,
        eval_split=config.eval_split,
    )
    words = f"the {source.num_eval} pictures that the test accuracy is measured on"
    return RunSources(source, source, words)


def open_test_source(config: TrainConfig) -> Source:
    """Opens a data set to evaluate on alone; raises what `open_sources` raises."""
    return open_source(
        config.dataset,
        config.data_dir,
        validation_split=config.validation_split,
        eval_split=config.eval_split,
        evaluation_only=not config.validation_split,
    )


def usable_sources(
    sources: RunSources, config: TrainConfig, kept: Path | None = None
) -> tuple[RunSources, UsableParts]:
    """Looks at every picture of a run once, before it costs anything.

    Args:
        sources: As `open_sources` makes them.
        config: Says what to do about bad pictures.
        kept: The run's folder where it goes on, so that unchanged files are not looked at again.

    Returns:
        The sources without what is left out, and what the run's folder is told with `write`.

    Raises:
        DataError: A picture cannot be used; when skipping, too many, or all of a class.
    """
    training, test = sources.training, sources.test
    splits = {"train": training.train_split, "evaluation": training.eval_split}
    if test is not training:
        splits["test"] = test.eval_split
    usable = _usable(splits, training, config, kept)
    used = usable.splits
    training = dataclasses.replace(
        training, train_split=used["train"], eval_split=used["evaluation"]
    )
    if "test" not in used:
        return dataclasses.replace(sources, training=training, test=training), usable
    test = dataclasses.replace(test, eval_split=used["test"])
    return dataclasses.replace(sources, training=training, test=test), usable


def usable_test_source(source: Source, config: TrainConfig) -> Source:
    """The same for a data set that is only evaluated on: once, so that only skipping needs a look.

    Raises:
        DataError: When skipping, too many pictures cannot be used, or all of a class.
    """
    if config.on_bad_image == "stop":
        return source
    usable = _usable({"evaluation": source.eval_split}, source, config, None)
    return dataclasses.replace(source, eval_split=usable.splits["evaluation"])


def _usable(splits, source: Source, config: TrainConfig, kept: Path | None) -> UsableParts:
    return usable_parts(
        splits, source.class_names, config.on_bad_image, config.max_bad_fraction, kept
    )


def _with_held_out(config: TrainConfig) -> RunSources:
    if is_folder(config.dataset, config.data_dir):
        raise ValueError(
            "`held_out` must be 0 for a folder of pictures; put the pictures to choose the weights "
            f"on into its val/ folder. Received: held_out={config.held_out}"
        )
    training = open_source(config.dataset, config.data_dir, validation_split=config.held_out)
    words = f"{training.num_eval} training pictures that were held out"
    return RunSources(training, open_test_source(config), words)


def balanced_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """(classes,) float32: the share that a class would have among equals, over the one it has.

    Args:
        labels: (N,) whole numbers in 0..classes-1.
        classes: Number of classes; one without pictures has weight 1.
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
        smoothing: Share of every target that is spread over all classes, in [0, 1): no class'.
    """
    known = tf.constant(weights)

    def with_weights(inputs, targets):
        plain = (targets - smoothing / len(weights)) / (1 - smoothing)
        return inputs, targets, tf.linalg.matvec(plain, known)

    return batches.map(with_weights, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


_BATCHES = 4
_SHOWN = 16  # pictures of each


def log_first_batches(batches: tf.data.Dataset, folder: Path, mean: Colour, std: Colour) -> None:
    """Writes the first pictures of the first batches as events, one a step.

    Args:
        batches: A run's training batches, from its beginning; normalised pictures come first.
        folder: TensorBoard's.
        mean: Of each channel, in 0..1, that the pictures were normalised by.
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
