"""One epoch, top to bottom: everything that happens around its steps, in order."""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from t2t_keras.errors import TrainingError
from t2t_keras.files import atomic_path
from t2t_keras.training.checkpoint.checkpointer import Checkpointer
from t2t_keras.training.checkpoint.signals import StopSignals
from t2t_keras.training.config import TrainConfig
from t2t_keras.training.devices import Devices
from t2t_keras.training.inputs import RunInputs
from t2t_keras.training.optimizers.averaging import ema_weights
from t2t_keras.training.progress import Progress
from t2t_keras.training.schedule import EpochSchedule

BATCH_NAME = "stopped_at_batch.txt"
_SHOWN = 3

_log = logging.getLogger(__name__)


class EpochCallback(keras.callbacks.Callback):
    """Checks, scores, keeps, records and stops: the order of the calls is the order of the steps.

    Args:
        config: The settings.
        folder: The run's.
        inputs: The batches to train and to validate on.
        schedule: The learning rates.
        checkpointer: Writes checkpoints of the run's state.
        signals: The signals to stop.
        devices: The devices; the first of their processes shows and writes.
        verbose: 0 a line an epoch, 1 a bar too, 2 a line every `log_every` steps.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        inputs: RunInputs,
        schedule: EpochSchedule,
        checkpointer: Checkpointer,
        signals: StopSignals,
        devices: Devices,
        verbose: int,
    ):
        super().__init__()
        self.config = config
        self.folder = folder
        self.inputs = inputs
        self.validation = devices.feed(inputs.validation)
        self.schedule = schedule
        self.checkpointer = checkpointer
        self.run_state = checkpointer.run_state
        self.signals = signals
        self.devices = devices
        self.processes = devices.processes
        self.progress = None
        if self.processes.first:
            self.progress = Progress(
                folder, self.run_state, schedule, config.batch_size, verbose, config.log_every
            )

    def on_train_begin(self, logs: Any = None) -> None:
        self.checkpointer.start_clock()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        # Until a step's weights are in a checkpoint, a signal waits.
        self.signals.deferred = self.run_state.steps_left > 0
        self.checkpointer.restore_metrics(self.model)
        if self.progress:
            self.progress.begin_epoch()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        state = self.run_state
        self._check_finite("loss", logs["loss"], state.step_in_epoch)
        state.step += 1
        self._share_signal()
        if not state.steps_left:
            self.checkpointer.hold(self.model)
            if self.processes.count > 1:  # a process lost in the validation ends the others
                self.checkpointer.write_held()
        elif self.signals.asked or (
            self.config.save_every and state.step % self.config.save_every == 0
        ):
            self.checkpointer.write(self.model)
        if self.progress:
            self.progress.end_step(logs)
        if not state.steps_left and self.processes.count == 1:
            self.signals.deferred = False  # the validation can be stopped anywhere
        self.signals.raise_if_asked()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        state = self.run_state
        self._check_finite("validation loss", logs["val_loss"], None)
        logs["learning_rate"] = self.schedule.at(epoch)
        if state.best.averaged:
            logs.update(self._ema_scores())
        state.best.update(self.model, epoch, logs)
        self.signals.deferred = True
        state.history.append(dict(logs))
        state.epoch_logs = {}
        self._share_signal()
        self.checkpointer.write(self.model)
        if self.progress:
            self.progress.end_epoch(epoch, logs)
        if state.ended_early:
            self.model.stop_training = True
            _log.info("No better weights for %d epochs: the run ends early.", state.patience)
        self.signals.raise_if_asked()

    def on_train_end(self, logs: Any = None) -> None:
        self.signals.deferred = False

    def _check_finite(self, name: str, value: Any, step: int | None) -> None:
        value = float(value)
        if math.isfinite(value):
            return
        epoch, steps = self.run_state.epoch, self.run_state.steps_per_epoch
        place = "" if step is None else f", step {step + 1} of {steps}"
        last = steps - 1 if step is None else step
        raise TrainingError(
            f"The {name} became {value} in epoch {epoch + 1}{place}. {self._describe(epoch, last)} "
            "Try a lower `lr`, a longer `warmup_epochs`, or `precision=float32` if it is not."
        )

    def _describe(self, epoch: int, step: int) -> str:
        """Sentences about the batch of a step that failed, and the last checkpoint."""
        if not self.processes.first:
            return "Process 0 names the batch."
        if self.inputs.batch_names is None:
            return "The features were computed before the run."
        names = self.inputs.batch_names(epoch, step)
        path = write_failed_batch(names, self.folder)
        more = f" and {len(names) - _SHOWN} more, all in {path}" if len(names) > _SHOWN else ""
        last = self.checkpointer.last_path or "none: there is no checkpoint yet"
        return (
            f"The batch: {', '.join(names[:_SHOWN])}{more}. Nothing was kept of this step; the "
            f"last good checkpoint is {last}."
        )

    def _share_signal(self) -> None:
        """Stops every process where one of them is asked to."""
        self.signals.asked = self.processes.highest(self.signals.asked or 0) or None

    def _ema_scores(self) -> dict[str, float]:
        """`val_ema_loss` and so on: the scores of the weights' moving average."""
        with ema_weights(self.model):
            scores = self.model.evaluate(self.validation, verbose=0, return_dict=True)
        return {f"val_ema_{name}": value for name, value in scores.items()}


def write_failed_batch(names: Sequence[str], folder: Path) -> Path:
    """Writes the names of a failed batch's images into the run's folder; returns the file."""
    path, text = folder / BATCH_NAME, "".join(f"{name}\n" for name in names)
    with atomic_path(path) as part:
        part.write_bytes(text.encode("utf-8", "surrogateescape"))
    return path


def fit_to_end(
    model: keras.Model, callback: EpochCallback, *others: keras.callbacks.Callback
) -> None:
    """Trains the rest of a run.

    `fit` counts whole epochs of one length, so the rest of an interrupted epoch is a `fit` of its
    own.
    """
    state, callbacks = callback.run_state, [*others, callback]
    try:
        while not state.finished:
            if not state.steps_left:
                _validate(model, callback, callbacks)
                continue
            rest = callback.inputs.training(state.step)
            if state.step_in_epoch:  # no iterator stays at work after the rest of an epoch
                rest = rest.take(state.steps_left)
            model.fit(
                callback.devices.feed(rest),
                validation_data=callback.validation,
                initial_epoch=state.epoch,
                epochs=state.epoch + 1 if state.step_in_epoch else state.epochs,
                steps_per_epoch=state.steps_left,
                shuffle=False,  # the batches have an order of their own
                verbose=0,
                callbacks=callbacks,
            )
    finally:
        if callback.signals.asked is not None:
            callback.checkpointer.write_held()


def _validate(
    model: keras.Model, callback: EpochCallback, callbacks: list[keras.callbacks.Callback]
) -> None:
    """Ends an epoch whose steps are done, as `fit` would."""
    state = callback.run_state
    called = keras.callbacks.CallbackList(
        callbacks, model=model, verbose=0, epochs=state.epochs, steps=state.steps_per_epoch
    )
    called.on_train_begin()
    called.on_epoch_begin(state.epoch)
    scores = model.evaluate(callback.validation, callbacks=called, return_dict=True)
    logs = {**state.epoch_logs, **{f"val_{name}": value for name, value in scores.items()}}
    called.on_epoch_end(state.epoch, logs)
    called.on_train_end()
