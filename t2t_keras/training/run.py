"""Training and evaluating a model: a run from its settings to its scores."""

import dataclasses
import logging
import os
from collections.abc import Collection
from pathlib import Path

import keras
import tensorflow as tf

from t2t_keras.data import (
    Source,
    batch_names,
    steps_per_epoch,
    train_dataset,
)
from t2t_keras.errors import ResumeError, RunInterrupted
from t2t_keras.training.batches import kept_if_small, with_targets
from t2t_keras.training.blame import blame
from t2t_keras.training.callbacks import BestWeights, LogFile, LogRate, StopAtNonFinite
from t2t_keras.training.config import TrainConfig
from t2t_keras.training.distribution import compiles
from t2t_keras.training.evaluation import (
    checked_strategy,
    known_errors,
    measure,
    validation_batches,
)
from t2t_keras.training.first_batch import log_first_batch
from t2t_keras.training.fitting import fit_to_end
from t2t_keras.training.keep_checkpoints import KeepCheckpoints
from t2t_keras.training.model import (
    build_model,
    inference_copy,
    load_run_weights,
    precision,
)
from t2t_keras.training.optimizer import build_optimizer
from t2t_keras.training.progress import Bar, EpochLine, Pace, StepLine
from t2t_keras.training.run_folder import (
    CHECKPOINTS_NAME,
    LOG_NAME,
    open_run,
    plain_settings,
    sole_run,
    write_settings,
)
from t2t_keras.training.schedule import EpochRates, PerEpoch
from t2t_keras.training.scores import Scores
from t2t_keras.training.signals import StopSignals
from t2t_keras.training.sources import RunSources, open_sources
from t2t_keras.training.spread_seeds import spread_seeds
from t2t_keras.training.standing import Standing

_log = logging.getLogger(__name__)

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
        fit_seconds: How long `fit` took, in earlier processes too.
        replicas: Number of devices.
        fitted: Whether anything was trained; False where a run had come to its end before.
    """

    model: keras.Model
    sources: RunSources
    history: dict[str, list[float]]
    best_epoch: int
    scores: Scores
    fit_seconds: float
    replicas: int
    fitted: bool = True


def train(
    config: TrainConfig,
    folder: str | os.PathLike,
    verbose: int = 0,
    *,
    resume: bool = True,
    override: Collection[str] = (),
) -> TrainResult:
    """Trains a model, keeps its best weights and measures them on the test pictures.

    A run that was interrupted goes on where it stood, and ends as if nothing had happened.

    Args:
        config: The settings.
        folder: Made where it is missing; gets checkpoints, `log.csv` and TensorBoard's events.
        verbose: 0 a line an epoch, in the log; 1 Keras' bar too; 2 a line every `log_every` steps.
        resume: Whether a run in `folder` goes on; else there must not be one.
        override: Names of settings that may be others than those the run was started with.

    Raises:
        ValueError: A setting does not fit the data set or this machine, or `folder` holds
            something else.
        DataError: The data set, or a picture in it, cannot be used.
        CheckpointError: The weights to start from are damaged or do not fit.
        TrainingError: The loss became no number, memory is full or a checkpoint cannot be written.
        ResumeError: The run in `folder` has other settings, is at work in another process, or has
            no whole checkpoint.
        RunInterrupted: SIGTERM or Ctrl-C came; what was trained is in a checkpoint.
    """
    folder, signals = Path(folder), StopSignals()
    with sole_run(folder), signals.listening():
        checkpoint = open_run(folder, config, resume, override)
        strategy = checked_strategy(config)
        sources = open_sources(config)
        steps = steps_per_epoch(sources.training, config.batch_size)
        rates = _rates(config)
        keras.utils.set_random_seed(config.seed)
        with strategy.scope():
            model = _compiled_model(config, sources.training.num_classes, rates, steps)
        standing, best = Standing(steps, rates.total_epochs), BestWeights(config.monitor)
        keeper = KeepCheckpoints(
            folder / CHECKPOINTS_NAME,
            *(standing, best, signals),
            every=config.save_every,
            settings=plain_settings(config),
        )
        if checkpoint is not None:
            keeper.go_on(model, checkpoint)
            _announce(folder, standing)
        write_settings(folder, config)
        callbacks = _callbacks(config, sources.training, keeper, rates, folder, verbose)
        try:
            with known_errors():
                _fit(
                    *(model, config, sources.training),
                    *(keeper, callbacks, folder / TENSORBOARD_NAME),
                )
        except RunInterrupted:
            keeper.write_waiting()
            raise
        best.restore(model)
        return TrainResult(
            model=inference_copy(model, config),
            sources=sources,
            history=_by_name(standing.history),
            best_epoch=best.epoch,
            scores=measure(model, config, sources.test, int(verbose == 1)),
            fit_seconds=standing.seconds,
            replicas=strategy.num_replicas_in_sync,
            fitted=checkpoint is None or checkpoint.step < standing.step,
        )


def _rates(config: TrainConfig) -> EpochRates:
    names = (field.name for field in dataclasses.fields(EpochRates))
    return EpochRates(**{name: getattr(config, name) for name in names})


def _announce(folder: Path, standing: Standing) -> None:
    """Says from where a run goes on.

    Raises:
        ResumeError: It has trained longer than it is to train now.
    """
    if standing.step > standing.epochs * standing.steps_per_epoch:
        raise ResumeError(
            f"{folder}: {standing.step / standing.steps_per_epoch:.3g} epochs are trained already, "
            f"and {standing.epochs} are asked for. Give more --epochs."
        )
    if standing.finished:
        _log.info("%s: all %d epochs are trained.", folder, standing.epochs)
        return
    _log.info(
        "%s: goes on in epoch %d of %d, after step %d of %d.",
        *(folder, standing.epoch + 1, standing.epochs),
        *(standing.step_in_epoch, standing.steps_per_epoch),
    )


def _by_name(history: list[dict[str, float]]) -> dict[str, list[float]]:
    return {name: [logs[name] for logs in history] for name in history[-1]}


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
        model.optimizer.build(model.trainable_variables)
    spread_seeds(model)
    return model


def _callbacks(
    config: TrainConfig,
    source: Source,
    keeper: KeepCheckpoints,
    rates: EpochRates,
    folder: Path,
    verbose: int,
) -> list[keras.callbacks.Callback]:
    """In the order they are called in: nothing is kept or shown before it was found finite."""
    standing, best = keeper.standing, keeper.best

    def explain(epoch: int, step: int) -> str:
        names = batch_names(source, config.batch_size, config.seed, epoch, step)
        return blame(names, folder, keeper.last_path)

    pace = Pace(standing, config.batch_size)
    return [
        StopAtNonFinite(standing, explain),
        LogRate(rates),
        best,
        *([Bar(pace)] if verbose == 1 else []),
        keras.callbacks.TensorBoard(folder / TENSORBOARD_NAME, write_graph=False),
        keeper,
        LogFile(folder / LOG_NAME, standing),
        pace,
        EpochLine(best, pace),
        *([StepLine(pace, rates, config.log_every)] if verbose == 2 else []),
    ]


def _fit(
    model: keras.Model,
    config: TrainConfig,
    source: Source,
    keeper: KeepCheckpoints,
    callbacks: list[keras.callbacks.Callback],
    tensorboard: Path,
) -> None:
    standing = keeper.standing
    if standing.finished:
        return

    def batches(step: int) -> tf.data.Dataset:
        made = _training_batches(config, source, standing.epochs, step)
        if step == 0:
            log_first_batch(made, tensorboard)
        return made

    validation = kept_if_small(validation_batches(config, source))
    fit_to_end(model, batches, validation, standing, callbacks, keeper.epoch_logs)


def _training_batches(
    config: TrainConfig, source: Source, epochs: int, start_step: int
) -> tf.data.Dataset:
    batches = train_dataset(
        source,
        config.image_size,
        config.batch_size,
        config.seed,
        epochs=epochs,
        augment=config.augment,
        start_step=start_step,
        crop_pct=config.crop_pct,
    )
    targets = with_targets(batches, source.num_classes, config.smoothing)
    return targets.prefetch(tf.data.AUTOTUNE)
