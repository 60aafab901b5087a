"""Training the classifier alone, on features of every image that are computed once."""

import dataclasses
import json
import logging
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from t2t_keras.data.ops.mixup import soft_targets
from t2t_keras.data.sources.source import Source
from t2t_keras.errors import DataError
from t2t_keras.files import atomic_path
from t2t_keras.training.config import TrainConfig
from t2t_keras.training.devices import Devices
from t2t_keras.training.inputs import RunInputs, padded, translate_errors, validation_batches
from t2t_keras.training.model import classifier_parts
from t2t_keras.training.run_directory import backbone_digest

FEATURES_NAME = "features.npz"
_COMPUTED_FROM = (
    "dataset",
    "model",
    "weights",
    "image_size",
    "crop_pct",
    "statistics",
    "precision",
)

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """The features of a dataset's images from a frozen backbone, each part in its fixed order.

    Args:
        training: (N, D) float32.
        training_labels: (N,) int64.
        evaluation: (M, D) float32.
        evaluation_labels: (M,) int64.
    """

    training: np.ndarray
    training_labels: np.ndarray
    evaluation: np.ndarray
    evaluation_labels: np.ndarray


def cached_features(
    model: keras.Model, config: TrainConfig, source: Source, folder: Path, devices: Devices
) -> Features:
    """The features of a dataset, read from the run's folder if they are there."""
    path, origin = folder / FEATURES_NAME, features_origin(config, source)
    if path.exists() and (kept := _read(path, origin)) is not None:
        return kept
    with devices.building():
        backbone = keras.Model(model.input, classifier_parts(model).pooling.output)
        backbone.compile(jit_compile=devices.compiles(config.jit_compile))
    train_split: Any = source.train_split  # a run's source has one
    training = dataclasses.replace(source, eval_split=train_split)
    made: dict[str, Any] = {}
    with translate_errors(), devices.fitting():
        for name, part in (("training", training), ("evaluation", source)):
            _log.info("Computing the features of %d images, once: %s", part.num_eval, name)
            outputs = backbone.predict(devices.feed(validation_batches(config, part)), verbose=0)
            made[name] = outputs[: part.num_eval].astype(np.float32)
            made[f"{name}_labels"] = part.eval_split.every_label()
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, origin=np.array(origin), **made)
    return Features(**made)


def probe_inputs(
    model: keras.Model,
    config: TrainConfig,
    source: Source,
    epochs: int,
    folder: Path,
    devices: Devices,
) -> RunInputs:
    """The batches of a run that trains on features; see `cached_features`."""
    features, classes = cached_features(model, config, source, folder, devices), source.num_classes
    return RunInputs(
        lambda step: feature_batches(features, config, classes, epochs, step),
        validation_features(features, config.batch_size, classes),
    )


def feature_batches(
    features: Features, config: TrainConfig, classes: int, epochs: int, step: int
) -> tf.data.Dataset:
    """All training batches of a run from `step` on, as functions of (seed, epoch, step) alone."""
    count, size = len(features.training), config.batch_size
    steps = count // size
    orders = [
        np.random.default_rng([config.seed, epoch]).permutation(count)[: steps * size]
        for epoch in range(epochs)
    ]
    rows = np.concatenate(orders).reshape(-1, size)[step:]
    vectors = tf.constant(features.training)
    targets = soft_targets(tf.constant(features.training_labels), classes, config.smoothing)
    chosen = tf.data.Dataset.from_tensor_slices(rows)
    return chosen.map(lambda row: (tf.gather(vectors, row), tf.gather(targets, row)))


def validation_features(features: Features, batch_size: int, classes: int) -> tf.data.Dataset:
    """Every evaluation image's features with targets and weights, as `validation_batches`."""
    targets = soft_targets(tf.constant(features.evaluation_labels), classes)
    batches = tf.data.Dataset.from_tensor_slices((features.evaluation, targets)).batch(batch_size)
    return padded(batches, batch_size, len(features.evaluation))


def features_origin(config: TrainConfig, source: Source) -> str:
    """The settings and files that a run's features depend on, as one line of text."""
    settings: dict[str, Any] = {name: str(getattr(config, name)) for name in _COMPUTED_FROM}
    settings["backbone"] = backbone_digest(config)  # another file may lie under that name
    return json.dumps({**settings, "images": [source.num_train, source.num_eval]})


def _read(path: Path, origin: str) -> Features | None:
    """The features in a file; None where they have another origin."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if str(arrays["origin"]) != origin:
                return None
            return Features(**{f.name: arrays[f.name] for f in dataclasses.fields(Features)})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: is damaged ({error}). Remove it, and the features are computed again."
        ) from error
