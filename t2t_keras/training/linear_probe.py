"""Training the classifier alone, on features of every image that are computed once."""

import dataclasses
import json
import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from t2t_keras.data.ops.mixup import soft_targets
from t2t_keras.data.sources.source import Source
from t2t_keras.errors import DataError
from t2t_keras.files import atomic_path, require_regular
from t2t_keras.training.config import TrainConfig
from t2t_keras.training.devices.run_devices import Devices
from t2t_keras.training.inputs import (
    RunInputs,
    pad_last_batch,
    translate_errors,
    validation_batches,
)
from t2t_keras.training.model import classifier_parts

FEATURES_NAME = "features.npz"
_COMPUTED_FROM = (
    *("dataset", "model", "weights", "image_size", "crop_pct", "statistics", "mean", "std"),
    "precision",
)

_log = logging.getLogger(__name__)

Features = dict[str, np.ndarray]


def features_origin(facts: Mapping[str, Any]) -> str:
    """The facts of a run, as its checkpoints keep them, that its features depend on; as text."""
    settings = {name: facts["settings"][name] for name in _COMPUTED_FROM}
    others = {name: facts[name] for name in ("backbone", "images")}
    return json.dumps({**settings, **others}, sort_keys=True)


def cached_features(
    model: keras.Model,
    config: TrainConfig,
    source: Source,
    folder: Path,
    devices: Devices,
    origin: str,
) -> Features:
    """The features of a dataset, read from the run's folder if they are there.

    "training" and "evaluation" are (N, D) float32, "training_labels" and "evaluation_labels" (N,)
    int64, each in the fixed order of the images.
    """
    path = folder / FEATURES_NAME
    try:
        require_regular(path)
        with np.load(path, allow_pickle=False) as arrays:
            if str(arrays["origin"]) == origin:
                return {**arrays}
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: is damaged ({error}). Remove it, and the features are computed again."
        ) from error
    with devices.build_scope():
        backbone = keras.Model(model.input, classifier_parts(model).pooling.output)
        backbone.compile(jit_compile=devices.use_xla(config.jit_compile))
    train_split: Any = source.train_split  # a run's source has one
    training = dataclasses.replace(source, eval_split=train_split)
    made: Features = {}
    with translate_errors(source), devices.fit_scope():
        for name, part in (("training", training), ("evaluation", source)):
            _log.info("Computing the features of %d images, once: %s", part.num_eval, name)
            batches = devices.distribute(validation_batches(config, part))
            outputs = backbone.predict(batches, verbose=0)
            made[name] = outputs[: part.num_eval].astype(np.float32)
            made[f"{name}_labels"] = part.eval_split.every_label()
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **dict[str, Any](made, origin=np.array(origin)))
    return made


def probe_inputs(features: Features, config: TrainConfig, classes: int, epochs: int) -> RunInputs:
    """The batches of a run that trains on features, as functions of (seed, epoch, step) alone."""
    count, size = len(features["training"]), config.batch_size
    generators = [np.random.default_rng([config.seed, epoch]) for epoch in range(epochs)]
    orders = [one.permutation(count)[: count // size * size] for one in generators]
    rows = np.concatenate(orders).reshape(-1, size)
    vectors = tf.constant(features["training"])
    targets = soft_targets(tf.constant(features["training_labels"]), classes, config.smoothing)
    expected = soft_targets(tf.constant(features["evaluation_labels"]), classes)
    held_out = tf.data.Dataset.from_tensor_slices((features["evaluation"], expected)).batch(size)

    def training(step: int) -> tf.data.Dataset:
        chosen = tf.data.Dataset.from_tensor_slices(rows[step:])
        return chosen.map(lambda row: (tf.gather(vectors, row), tf.gather(targets, row)))

    return RunInputs(training, pad_last_batch(held_out, size, len(features["evaluation"])))
