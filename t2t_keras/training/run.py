"""Training and evaluating: the one place that calls `fit` and `predict`."""

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from t2t_keras.data import (
    Source,
    eval_dataset,
    picture_errors,
    steps_per_epoch,
    train_dataset,
)
from t2t_keras.errors import DataError, TrainingError
from t2t_keras.training.batches import kept_if_small, padded, with_targets
from t2t_keras.training.callbacks import BestWeights, EpochLine, LogRate, StopAtNonFinite
from t2t_keras.training.config import TrainConfig
from t2t_keras.training.distribution import check_global_batch, compiles, make_strategy
from t2t_keras.training.model import (
    build_model,
    check_run_weights,
    inference_copy,
    load_run_weights,
    precision,
)
from t2t_keras.training.optimizer import build_optimizer
from t2t_keras.training.schedule import EpochRates, PerEpoch
from t2t_keras.training.scores import Scores, score
from t2t_keras.training.sources import RunSources, open_sources, open_test_source

LOG_NAME = "log.csv"
TENSORBOARD_NAME = "tensorboard"


@dataclasses.dataclass(frozen=True, eq=False)
class TrainResult:
    """What a run made.

    Args:
        model: The model with its best weights: float32, one device, probabilities.
        sources: The pictures it was made with.
        history: Of each logged quantity, its value in every epoch.
        best_epoch: Epoch of the weights kept, from 0.
        scores: On the test pictures.
        fit_seconds: How long `fit` took.
        replicas: Number of devices.
    """

    model: keras.Model
    sources: RunSources
    history: dict[str, list[float]]
    best_epoch: int
    scores: Scores
    fit_seconds: float
    replicas: int


def train(config: TrainConfig, folder: str | os.PathLike, verbose: int = 0) -> TrainResult:
    """Trains a model, keeps its best weights and measures them on the test pictures.

    Args:
        config: The settings.
        folder: Made here; gets `log.csv` and TensorBoard's events.
        verbose: Keras' progress: 0 nothing, 1 a bar, 2 a line an epoch.

    Raises:
        ValueError: A setting does not fit the data set or this machine.
        DataError: The data set, or a picture in it, cannot be used.
        CheckpointError: The weights to start from are damaged or do not fit.
        TrainingError: The loss became no number, or memory is full.
        FileExistsError: `folder` exists.
    """
    folder = Path(folder)
    strategy = _checked_strategy(config)
    sources = open_sources(config)
    steps = steps_per_epoch(sources.training, config.batch_size)
    keras.utils.set_random_seed(config.seed)
    rates = EpochRates(
        lr=config.lr,
        min_lr=config.min_lr,
        warmup_lr=config.warmup_lr,
        epochs=config.epochs,
        warmup_epochs=config.warmup_epochs,
        cooldown_epochs=config.cooldown_epochs,
    )
    with strategy.scope():
        model = _compiled_model(config, sources.training.num_classes, rates, steps)
    folder.mkdir(parents=True)
    best = BestWeights(config.monitor)
    started = time.monotonic()
    with _known_errors():
        history = model.fit(
            _training_batches(config, sources.training, rates.total_epochs),
            validation_data=kept_if_small(_validation_batches(config, sources.training)),
            epochs=rates.total_epochs,
            steps_per_epoch=steps,
            shuffle=False,  # the batches come in an order of their own
            verbose=verbose,
            callbacks=_callbacks(best, rates, folder, verbose),
        ).history
    fit_seconds = time.monotonic() - started
    best.restore()
    return TrainResult(
        model=inference_copy(model, config),
        sources=sources,
        history=history,
        best_epoch=best.epoch,
        scores=_measure(model, config, sources.test, verbose),
        fit_seconds=fit_seconds,
        replicas=strategy.num_replicas_in_sync,
    )


def evaluate(
    config: TrainConfig, class_names: Sequence[str] | None = None, verbose: int = 0
) -> Scores:
    """Measures the run's `weights` on the evaluation pictures of its data set.

    Args:
        config: The settings.
        class_names: The classes the weights were trained on, where they are known.
        verbose: Keras' progress: 0 nothing, 1 a bar, 2 a line.

    Raises:
        ValueError: A setting does not fit the data set or this machine.
        DataError: The data set, or a picture in it, cannot be used, or its classes are others.
        CheckpointError: The weights are damaged or do not fit.
    """
    strategy = _checked_strategy(config)
    source = open_test_source(config)
    if class_names is not None and tuple(class_names) != source.class_names:
        raise DataError(
            f"{config.dataset}: its classes are {_short(source.class_names)}, those of "
            f"{config.weights} are {_short(class_names)}. Evaluate on a data set of the same "
            "classes, in the same order."
        )
    with strategy.scope(), precision(config.precision):
        model = build_model(config, source.num_classes, None, drop_path_rate=0.0)
        load_run_weights(model, config, whole=True)
        model.compile(jit_compile=compiles(config.jit_compile, strategy))
    return _measure(model, config, source, verbose)


def _short(names: Sequence[str]) -> str:
    return f"{len(names)} ({', '.join(names[:3])}, ...)"


def _checked_strategy(config: TrainConfig) -> tf.distribute.MirroredStrategy:
    check_run_weights(config)
    strategy = make_strategy(config.devices)
    check_global_batch(config.batch_size, strategy.num_replicas_in_sync)
    return strategy


def _compiled_model(
    config: TrainConfig, classes: int, rates: EpochRates, steps: int
) -> keras.Model:
    with precision(config.precision):
        model = build_model(config, classes, None, config.drop_path_rate)
        load_run_weights(model, config, whole=False)
        schedule = PerEpoch(tuple(map(rates.at, range(rates.total_epochs))), steps)
        model.compile(
            build_optimizer(model, schedule, config.weight_decay),
            loss=keras.losses.CategoricalCrossentropy(from_logits=True),
            weighted_metrics=[
                keras.metrics.CategoricalAccuracy(name="accuracy"),
                keras.metrics.TopKCategoricalAccuracy(min(5, classes), name="top5_accuracy"),
            ],
            jit_compile=compiles(config.jit_compile, tf.distribute.get_strategy()),
        )
    return model


def _callbacks(
    best: BestWeights, rates: EpochRates, folder: Path, verbose: int
) -> list[keras.callbacks.Callback]:
    # Keras would put its bar last, and our line would break into it.
    bar = [keras.callbacks.ProgbarLogger()] if verbose else []
    log = keras.callbacks.CSVLogger(folder / LOG_NAME)
    events = keras.callbacks.TensorBoard(folder / TENSORBOARD_NAME, write_graph=False)
    return [StopAtNonFinite(), LogRate(rates), best, *bar, EpochLine(best), log, events]


def _training_batches(config: TrainConfig, source: Source, epochs: int) -> tf.data.Dataset:
    return train_dataset(
        source,
        config.image_size,
        config.batch_size,
        config.seed,
        epochs=epochs,
        augmentation=config.augmentation,
        crop_pct=config.crop_pct,
    )


def _validation_batches(config: TrainConfig, source: Source) -> tf.data.Dataset:
    """Every evaluation picture with its weight; label smoothing belongs to training alone."""
    batches = eval_dataset(source, config.image_size, config.batch_size, crop_pct=config.crop_pct)
    targets = with_targets(batches, source.num_classes)
    return padded(targets, config.batch_size, source.num_eval).prefetch(tf.data.AUTOTUNE)


def _measure(model: keras.Model, config: TrainConfig, source: Source, verbose: int) -> Scores:
    with _known_errors():
        batches = _validation_batches(config, source)
        logits = model.predict(batches, verbose=verbose)[: source.num_eval]
        labels = source.evaluation().map(lambda example: example["label"])
        return score(logits, np.fromiter(labels.as_numpy_iterator(), np.int64))


@contextlib.contextmanager
def _known_errors() -> Iterator[None]:
    """Names the picture that cannot be read, and the setting that memory hangs on."""
    try:
        with picture_errors():
            yield
    except tf.errors.ResourceExhaustedError as error:
        raise TrainingError(
            "Memory is full. Give a smaller --batch_size, --image_size or model, or "
            "--precision=bfloat16."
        ) from error
