"""A training run, from its settings to its scores."""

import dataclasses
import logging
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import keras

from t2t_keras.data.pipeline import steps_per_epoch
from t2t_keras.data.sources.source import Source
from t2t_keras.errors import ResumeError
from t2t_keras.files import write_json
from t2t_keras.models.structure import logits_of, parts_of
from t2t_keras.training.checkpoint.checkpointer import Checkpointer
from t2t_keras.training.checkpoint.run_state import BestWeights, RunState
from t2t_keras.training.checkpoint.signals import StopSignals
from t2t_keras.training.config import BACKBONE, TrainConfig
from t2t_keras.training.devices.run_devices import Devices
from t2t_keras.training.epoch import EpochCallback, fit_to_end
from t2t_keras.training.evaluation import Scores, predict_and_score
from t2t_keras.training.inputs import (
    RunInputs,
    image_inputs,
    log_first_batches,
    next_images,
    translate_errors,
    with_class_weights,
)
from t2t_keras.training.linear_probe import cached_features, features_origin, probe_inputs
from t2t_keras.training.model import check_run, compiled_model, inference_copy
from t2t_keras.training.progress import write_log
from t2t_keras.training.run_directory import (
    RUN_ID,
    SETTINGS_NAME,
    TENSORBOARD_NAME,
    lock_run_directory,
    open_run,
    run_facts,
    run_id_of,
)
from t2t_keras.training.schedule import learning_rates
from t2t_keras.training.sources import RunSources, sources_of_run

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class TrainResult:
    """The result of a run.

    Args:
        model: The model with its best weights: float32, one device, probabilities.
        sources: The datasets it was made with.
        history: Name of each logged quantity -> its value in every epoch.
        best_epoch: Epoch of the weights kept, from 0.
        scores: Scores on the test images.
        fit_seconds: Time spent in `fit`, in earlier processes too.
        replicas: Number of devices.
    """

    model: keras.Model
    sources: RunSources
    history: dict[str, list[float]]
    best_epoch: int
    scores: Scores
    fit_seconds: float
    replicas: int


def train(
    config: TrainConfig,
    folder: str | os.PathLike[str],
    verbose: int = 0,
    *,
    resume: bool = True,
    override: Collection[str] = (),
) -> TrainResult:
    """Trains a model, keeps its best weights and measures them on the test images.

    A run that was interrupted resumes and ends with the same weights as if it had not been.

    Args:
        config: The settings.
        folder: The run's folder, made if it is missing; gets checkpoints, `log.csv` and
            TensorBoard's events.
        verbose: 0 logs a line an epoch, 1 shows a bar too, 2 logs a line every `log_every` steps.
        resume: False to refuse a run that is already in `folder`.
        override: Names of settings that may differ from those the run was started with.

    Raises:
        ValueError: A setting does not fit the dataset or this machine, or `folder` holds
            something else.
        DataError: The dataset, or an image in it, cannot be used.
        CheckpointError: The weights to start from are damaged or do not fit.
        TrainingError: The loss is not finite, memory is full or a checkpoint cannot be written.
        ResumeError: The run in `folder` has other settings or images, is at work in another
            process, or has no intact checkpoint.
        RunInterrupted: SIGTERM or Ctrl-C came; everything trained is in a checkpoint.
    """
    folder, signals = Path(folder), StopSignals()
    devices = check_run(config, config.accumulate)
    processes = devices.processes
    with lock_run_directory(folder, processes), signals.listening():
        facts = run_facts(config)
        checkpoint = open_run(folder, facts, resume, override, processes)
        sources, images = sources_of_run(config, folder, checkpoint, processes)
        facts |= {"images": images.summary(), RUN_ID: run_id_of(folder)}
        source, best = sources.training, BestWeights(config.monitor, config.ema_decay > 0)
        steps = steps_per_epoch(source, config.batch_size)
        state = RunState(steps, learning_rates(config), best, config.patience)
        checkpointer = Checkpointer(folder, state, facts, processes.first)
        keras.utils.set_random_seed(config.seed)
        model, full_model = compiled_model(config, source.num_classes, state, devices)
        if checkpoint is not None:
            checkpointer.restore(model, checkpoint)
            _report_progress(folder, state)
        if processes.first:
            write_json(folder / SETTINGS_NAME, {RUN_ID: facts[RUN_ID], **facts["settings"]})
            images.write(folder)
            write_log(folder, state.history)  # a run that was killed may lack its last line
        if not state.finished:
            with translate_errors(source, next_images(config, source, state)), devices.fit_scope():
                inputs = _inputs(config, source, state, folder, devices, full_model, facts)
                callback = EpochCallback(
                    config, folder, inputs, checkpointer, signals, devices, verbose
                )
                fit_to_end(model, callback)
        best.restore(model)
        copy = inference_copy(full_model, config)
        if processes.count > 1:  # `predict` would need the others' devices
            full_model = keras.Model(copy.input, logits_of(parts_of(copy)))
            devices = Devices(devices.replicas)
        return TrainResult(
            model=copy,
            sources=sources,
            history=state.columns(),
            best_epoch=best.epoch or 0,
            scores=predict_and_score(full_model, config, sources.test, devices, verbose),
            fit_seconds=state.seconds,
            replicas=devices.replicas,
        )


def _report_progress(folder: Path, state: RunState) -> None:
    """Logs where a run resumes; raises a ResumeError if more is trained than is asked for."""
    if state.step > state.epochs * state.steps_per_epoch:
        raise ResumeError(
            f"{folder}: {state.step / state.steps_per_epoch:.3g} epochs are trained already, and "
            f"{state.epochs} are asked for. Give more `epochs`."
        )
    if state.finished:
        how = "ended early, after %d epochs" if state.ended_early else "all %d epochs are trained"
        _log.info(f"%s: {how}.", folder, state.epoch)
        return
    _log.info("%s: resumes after %s.", folder, state.place)


def _inputs(
    config: TrainConfig,
    source: Source,
    state: RunState,
    folder: Path,
    devices: Devices,
    full_model: keras.Model,
    facts: Mapping[str, Any],
) -> RunInputs:
    """The batches of features, or of images, whose first ones are shown in TensorBoard."""
    if config.freeze == BACKBONE:
        origin = features_origin(facts)
        features = cached_features(full_model, config, source, folder, devices, origin)
        inputs = probe_inputs(features, config, source.num_classes, state.epochs)
    else:
        inputs = image_inputs(config, source, state.epochs, devices.processes)
        if state.step == 0 and devices.processes.first:
            log_first_batches(inputs.training(0), folder / TENSORBOARD_NAME, config)
    return with_class_weights(inputs, config, source)
