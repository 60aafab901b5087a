"""Training and evaluating a model: a run from its settings to its scores."""

import dataclasses
import logging
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import keras

from t2t_keras.data.inspection import CheckedSplits
from t2t_keras.data.pipeline import steps_per_epoch
from t2t_keras.data.sources.source import Source
from t2t_keras.errors import ResumeError, RunInterrupted
from t2t_keras.training.checkpoint.best_weights import BestWeights
from t2t_keras.training.checkpoint.checkpointer import Checkpointer
from t2t_keras.training.checkpoint.signals import StopSignals
from t2t_keras.training.config import BACKBONE, TrainConfig
from t2t_keras.training.devices import Batches, Devices, Processes, decorrelate_dropout
from t2t_keras.training.epoch import TENSORBOARD_NAME, EarlyStop, run_callbacks
from t2t_keras.training.evaluation import Scores, check_run, predict_and_score, translate_errors
from t2t_keras.training.inputs import fed_validation, log_first_batches, run_inputs
from t2t_keras.training.linear_probe import backbone_digest, check_backbone, probe_of
from t2t_keras.training.model import (
    build_model,
    freeze_parts,
    inference_copy,
    load_run_weights,
    precision,
    with_logits,
)
from t2t_keras.training.optimizers.accumulation import accumulating
from t2t_keras.training.optimizers.optimizer import build_optimizer
from t2t_keras.training.progress import write_log
from t2t_keras.training.run_directory import (
    CHECKPOINTS_NAME,
    LOG_NAME,
    checked_sources_of,
    lock_run_directory_of,
    open_run_of,
    plain_settings,
    write_settings,
)
from t2t_keras.training.run_state import RunState
from t2t_keras.training.schedule import EpochSchedule, PerEpoch
from t2t_keras.training.sources import RunSources, normalization


def epoch_schedule(config: TrainConfig) -> EpochSchedule:
    """The learning rate of every epoch of a run."""
    return EpochSchedule(
        lr=config.lr,
        min_lr=config.min_lr,
        warmup_lr=config.warmup_lr,
        epochs=config.epochs,
        warmup_epochs=config.warmup_epochs,
        cooldown_epochs=config.cooldown_epochs,
        cycle_mul=config.lr_cycle_mul,
        cycle_limit=config.lr_cycle_limit,
        cycle_decay=config.lr_cycle_decay,
    )


def compiled_model(
    config: TrainConfig, classes: int, rates: EpochSchedule, steps_per_epoch: int, devices: Devices
) -> tuple[keras.Model, keras.Model]:
    """Builds the model of a run on its devices, with the weights it starts from.

    Returns:
        What is trained, compiled, and the whole model from images to logits: the same, unless the
        classifier alone is trained, which is a model on features then.

    Raises:
        CheckpointError: The weights to start from are damaged or do not fit.
        DownloadError: They cannot be fetched.
        ValueError: A setting does not fit Keras' backend.
    """
    with devices.building(), precision(config.precision):
        model = build_model(config, classes, None, config.drop_path_rate)
        load_run_weights(model, config, complete=False)
        freeze_parts(model, config.freeze)
        full_model, probes = model, config.freeze == BACKBONE
        model = accumulating(probe_of(full_model) if probes else full_model, config.accumulate)
        schedule = PerEpoch(tuple(map(rates.at, range(rates.total_epochs))), steps_per_epoch)
        model.compile(
            build_optimizer(
                model,
                schedule,
                config.weight_decay,
                config.optimizer,
                ema_decay=config.ema_decay,
                clip_grad=config.clip_grad,
                backbone_lr_ratio=config.backbone_lr_ratio,
                layer_decay=config.layer_decay,
                decay_all=config.decay_all,
                nesterov=config.nesterov,
            ),
            loss=keras.losses.CategoricalCrossentropy(from_logits=True),
            weighted_metrics=[
                keras.metrics.CategoricalAccuracy(name="accuracy"),
                keras.metrics.TopKCategoricalAccuracy(min(5, classes), name="top5_accuracy"),
            ],
            jit_compile=devices.compiles(config.jit_compile),
        )
        _build_scores(model, classes)
        if probes:
            full_model.compile(jit_compile=devices.compiles(config.jit_compile))
    decorrelate_dropout(model)
    return model, full_model if probes else model


def _build_scores(model: keras.Model, classes: int) -> None:
    """Makes the state of loss and metrics; else `fit` traces the whole model once more for them."""
    blank = keras.ops.zeros((1, classes))
    model.compute_loss(y=blank, y_pred=blank)
    model.compute_metrics(None, blank, blank)
    model.reset_metrics()


def fit_to_end(
    model: keras.Model,
    batches: Callable[[int], Batches],
    validation: Batches,
    run_state: RunState,
    callbacks: list[keras.callbacks.Callback],
    epoch_logs: Mapping[str, float],
) -> None:
    """Trains what is left of a run.

    `fit` counts whole epochs of one length, so the rest of an epoch that was interrupted is a
    `fit` of its own.

    Args:
        model: Compiled.
        batches: A step, over all epochs -> the run's training batches from there on.
        validation: The evaluation batches.
        standing: Where the run stands; a callback moves it on.
        callbacks: Keras' own bar is not added.
        epoch_logs: The training logs of an epoch of which only the validation is left.
    """
    while not run_state.finished:
        epoch = run_state.epoch
        if not run_state.steps_left:
            _validate(model, validation, run_state, callbacks, epoch_logs)
            continue
        model.fit(
            batches(run_state.step),
            validation_data=validation,
            initial_epoch=epoch,
            epochs=epoch + 1 if run_state.step_in_epoch else run_state.epochs,
            steps_per_epoch=run_state.steps_left,
            shuffle=False,  # the batches come in an order of their own
            verbose=0,
            callbacks=callbacks,
        )


def _validate(
    model: keras.Model,
    validation: Batches,
    run_state: RunState,
    callbacks: list[keras.callbacks.Callback],
    epoch_logs: Mapping[str, float],
) -> None:
    """Ends an epoch as `fit` would."""
    steps, epochs = run_state.steps_per_epoch, run_state.epochs
    listed = keras.callbacks.CallbackList(
        callbacks, model=model, verbose=0, epochs=epochs, steps=steps
    )
    listed.on_train_begin()
    listed.on_epoch_begin(run_state.epoch)
    measured = model.evaluate(validation, callbacks=listed, return_dict=True)
    logs = {**epoch_logs, **{f"val_{name}": value for name, value in measured.items()}}
    listed.on_epoch_end(run_state.epoch, logs)
    listed.on_train_end()


_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class TrainResult:
    """What a run made.

    Args:
        model: The model with its best weights: float32, one device, probabilities.
        sources: The images it was made with.
        history: Of each logged quantity, its value in every epoch.
        best_epoch: Epoch of the weights kept, from 0.
        scores: On the test images.
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


@dataclasses.dataclass(frozen=True, eq=False)
class _Begun:
    """What a run has before it trains: its settings, folder, devices, images and models.

    Args:
        model: What is trained.
        full_model: The model from images to logits, which shares its weights.
    """

    config: TrainConfig
    folder: Path
    devices: Devices
    source: Source
    model: keras.Model
    full_model: keras.Model


def train(
    config: TrainConfig,
    folder: str | os.PathLike,
    verbose: int = 0,
    *,
    resume: bool = True,
    override: Collection[str] = (),
) -> TrainResult:
    """Trains a model, keeps its best weights and measures them on the test images.

    A run that was interrupted goes on where it stood, and ends as if nothing had happened.

    Args:
        config: The settings.
        folder: Made where it is missing; gets checkpoints, `log.csv` and TensorBoard's events.
        verbose: 0 a line an epoch, in the log; 1 Keras' bar too; 2 a line every `log_every` steps.
        resume: Whether a run in `folder` goes on; else there must not be one.
        override: Names of settings that may be others than those the run was started with.

    Raises:
        ValueError: A setting does not fit the dataset or this machine, or `folder` holds
            something else.
        DataError: The dataset, or an image in it, cannot be used.
        CheckpointError: The weights to start from are damaged or do not fit.
        TrainingError: The loss became no number, memory is full or a checkpoint cannot be written.
        ResumeError: The run in `folder` has other settings or images, is at work in another
            process, or has no whole checkpoint.
        RunInterrupted: SIGTERM or Ctrl-C came; what was trained is in a checkpoint.
    """
    folder, signals = Path(folder), StopSignals()
    devices = check_run(config, config.accumulate)
    processes = devices.processes
    with lock_run_directory_of(processes, folder), signals.listening():
        checkpoint = open_run_of(processes, folder, config, resume, override)
        sources, usable = checked_sources_of(processes, config, folder, checkpoint)
        steps = steps_per_epoch(sources.training, config.batch_size)
        rates = epoch_schedule(config)
        keras.utils.set_random_seed(config.seed)
        model, full_model = compiled_model(
            config, sources.training.num_classes, rates, steps, devices
        )
        run_state = RunState(steps, rates.total_epochs)
        checkpointer = _keeper(config, folder, run_state, signals, usable, processes)
        end = EarlyStop(run_state, checkpointer.best, config.patience)
        if checkpoint is not None:
            check_backbone(config, checkpoint.progress)
            checkpointer.go_on(model, checkpoint)
            end.look()
            _announce(folder, run_state)
        if processes.first:
            _write_standing(folder, config, usable, run_state)
        try:
            with translate_errors(), devices.fitting():
                begun = _Begun(config, folder, devices, sources.training, model, full_model)
                _fit(begun, checkpointer, end, rates, verbose)
        except RunInterrupted:
            checkpointer.write_waiting()
            raise
        checkpointer.best.restore(model)
        copy = inference_copy(full_model, config)
        return TrainResult(
            model=copy,
            sources=sources,
            history=_by_name(run_state.history),
            best_epoch=checkpointer.best.epoch,
            scores=_scores(full_model, copy, config, sources.test, int(verbose == 1), devices),
            fit_seconds=run_state.seconds,
            replicas=devices.replicas,
            fitted=checkpoint is None or checkpoint.step < run_state.step,
        )


def _write_standing(
    folder: Path, config: TrainConfig, usable: CheckedSplits, run_state: RunState
) -> None:
    """Says in a run's folder which run it is and how far it has come."""
    write_settings(folder, config)
    usable.write(folder)
    # A run may have been stopped between its last checkpoint and the last line of its log.
    write_log(folder / LOG_NAME, run_state.history)


def _keeper(
    config: TrainConfig,
    folder: Path,
    run_state: RunState,
    signals: StopSignals,
    usable: CheckedSplits,
    processes: Processes,
) -> Checkpointer:
    about = {"settings": plain_settings(config), "images": usable.summary()}
    return Checkpointer(
        folder / CHECKPOINTS_NAME,
        run_state,
        BestWeights(config.monitor, averaged=config.ema_decay > 0),
        signals,
        every=config.save_every,
        about={**about, "backbone": backbone_digest(config)},
        processes=processes,
    )


def _scores(
    model: keras.Model,
    copy: keras.Model,
    config: TrainConfig,
    source: Source,
    verbose: int,
    devices: Devices,
) -> Scores:
    """Of the model, or of its copy where `predict` would need devices of other processes."""
    if devices.processes.count > 1:
        return predict_and_score(with_logits(copy), config, source, verbose)
    with devices.fitting():
        return predict_and_score(model, config, source, verbose, devices.feed)


def _announce(folder: Path, run_state: RunState) -> None:
    """Says from where a run goes on.

    Raises:
        ResumeError: It has trained longer than it is to train now.
    """
    if run_state.step > run_state.epochs * run_state.steps_per_epoch:
        raise ResumeError(
            f"{folder}: {run_state.step / run_state.steps_per_epoch:.3g} epochs are trained "
            f"already, and {run_state.epochs} are asked for. Give more --epochs."
        )
    if run_state.finished:
        how = "ended early, after %d epochs" if run_state.ended else "all %d epochs are trained"
        _log.info(f"%s: {how}.", folder, run_state.epoch)
        return
    _log.info(
        "%s: goes on in epoch %d of %d, after step %d of %d.",
        folder,
        run_state.epoch + 1,
        run_state.epochs,
        run_state.step_in_epoch,
        run_state.steps_per_epoch,
    )


def _by_name(history: list[dict[str, float]]) -> dict[str, list[float]]:
    return {name: [logs[name] for logs in history] for name in history[-1]}


def _fit(
    begun: _Begun, checkpointer: Checkpointer, end: EarlyStop, rates: EpochSchedule, verbose: int
) -> None:
    run_state, folder, devices = checkpointer.run_state, begun.folder, begun.devices
    if run_state.finished:
        return
    inputs = run_inputs(
        begun.full_model, begun.config, begun.source, run_state.epochs, folder, devices
    )

    def batches(step: int) -> Batches:
        made = inputs.training(step)
        if step == 0 and devices.processes.first and begun.config.freeze != BACKBONE:
            log_first_batches(made, folder / TENSORBOARD_NAME, **normalization(begun.config))
        # No iterator is left at work when the rest of an epoch is over.
        return devices.feed(made.take(run_state.steps_left) if run_state.step_in_epoch else made)

    validation = fed_validation(inputs, devices)
    callbacks = run_callbacks(
        begun.config, begun.source, validation, checkpointer, end, rates, folder, verbose
    )
    fit_to_end(begun.model, batches, validation, run_state, callbacks, checkpointer.epoch_logs)
