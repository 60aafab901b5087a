"""One epoch, top to bottom: everything that happens around its steps, in order."""

import logging
import math
from pathlib import Path
from typing import Any

import keras

from t2t_keras.errors import RunInterrupted, TrainingError
from t2t_keras.files import write_text
from t2t_keras.training.checkpoint.checkpointer import ADVICE, Checkpointer
from t2t_keras.training.checkpoint.signals import StopSignals
from t2t_keras.training.config import TrainConfig
from t2t_keras.training.devices import Devices
from t2t_keras.training.inputs import RunInputs
from t2t_keras.training.optimizers.averaging import ema_weights
from t2t_keras.training.progress import Progress

BATCH_NAME = "stopped_at_batch.txt"
_SHOWN = 3

_log = logging.getLogger(__name__)


class EpochCallback(keras.callbacks.Callback):
    """Runs what surrounds a training step: checks, checkpoints, progress, signals, in this order.

    `verbose` is as in `train`; the first of the devices' processes shows and writes.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        inputs: RunInputs,
        checkpointer: Checkpointer,
        signals: StopSignals,
        devices: Devices,
        verbose: int,
    ):
        super().__init__()
        self.folder = folder
        self.save_every = config.save_every
        self.inputs = inputs
        self.validation = devices.distribute(inputs.validation)
        self.checkpointer = checkpointer
        self.run_state = checkpointer.run_state
        self.signals = signals
        self.devices = devices
        self.processes = devices.processes
        first = self.processes.first
        self.progress = Progress(folder, config, self.run_state, verbose) if first else None

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
        due = self.save_every and state.step % self.save_every == 0
        signal = self._agreed_signal()
        if signal or due or not state.steps_left:
            self.checkpointer.write(self.model)
        if self.progress:
            self.progress.end_step(logs)
        if signal:
            raise RunInterrupted(signal)
        if not state.steps_left and self.processes.count == 1:
            self.signals.stop_deferring()  # the validation can be stopped anywhere

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        state = self.run_state
        self._check_finite("validation loss", logs["val_loss"])
        logs["learning_rate"] = state.rates[epoch]
        if state.best.averaged:
            logs.update(self._ema_scores())
            self._check_finite("averaged weights' validation loss", logs["val_ema_loss"])
        state.best.update(self.model, epoch, logs)
        self.signals.deferred = True
        state.history.append(dict(logs))
        state.epoch_logs = {}
        self.checkpointer.write(self.model)
        if self.progress:
            self.progress.end_epoch(epoch, logs)
        if state.ended_early:
            self.model.stop_training = True
            _log.info("No better weights for %d epochs: the run ends early.", state.patience)
        if signal := self._agreed_signal():
            raise RunInterrupted(signal)

    def on_train_end(self, logs: Any = None) -> None:
        self.signals.deferred = False

    def _check_finite(self, name: str, value: Any, step: int | None = None) -> None:
        """Raises a TrainingError unless the loss of a training step or a validation is finite."""
        if math.isfinite(float(value)):
            return
        epoch, steps = self.run_state.epoch, self.run_state.steps_per_epoch
        place = "" if step is None else f", step {step + 1} of {steps}"
        last = f"the last good checkpoint is {self.checkpointer.last_path}."
        if step is None:
            last += " It holds the weights of this validation: remove it before you start again."
        raise TrainingError(
            f"The {name} became {float(value)} in epoch {epoch + 1}{place}. "
            f"{self._describe_batch(epoch, steps - 1 if step is None else step)} "
            f"Nothing was kept of this step; {last} {ADVICE}"
        )

    def _describe_batch(self, epoch: int, step: int) -> str:
        """A sentence about the batch of a step; its images' names are written to a file."""
        if not self.processes.first:
            return "Process 0 names the batch."
        if self.inputs.batch_names is None:
            return "The features were computed before the run."
        names, path = self.inputs.batch_names(epoch, step), self.folder / BATCH_NAME
        write_text(path, "".join(f"{name}\n" for name in names))
        more = f" and {len(names) - _SHOWN} more, all in {path}" if len(names) > _SHOWN else ""
        return f"The batch: {', '.join(names[:_SHOWN])}{more}."

    def _agreed_signal(self) -> int:
        """The signal to stop that any of the processes has received; 0 if none has."""
        return self.processes.highest(self.signals.received or 0)

    def _ema_scores(self) -> dict[str, float]:
        """`val_ema_loss` and so on: the scores of the weights' moving average."""
        with ema_weights(self.model):
            scores = self.model.evaluate(self.validation, verbose=0, return_dict=True)
        return {f"val_ema_{name}": value for name, value in scores.items()}


def fit_to_end(
    model: keras.Model, callback: EpochCallback, *others: keras.callbacks.Callback
) -> None:
    """Trains the rest of a run.

    `fit` counts whole epochs of one length, so the rest of an interrupted epoch is a `fit` of its
    own.
    """
    state, callbacks = callback.run_state, [*others, callback]
    while not state.finished:
        if not state.steps_left:
            _validate(model, callback, callbacks)
            continue
        rest = callback.inputs.training(state.step)
        if state.step_in_epoch:  # no iterator stays at work after the rest of an epoch
            rest = rest.take(state.steps_left)
        model.fit(
            callback.devices.distribute(rest),
            validation_data=callback.validation,
            initial_epoch=state.epoch,
            epochs=state.epoch + 1 if state.step_in_epoch else state.epochs,
            steps_per_epoch=state.steps_left,
            shuffle=False,  # the batches have an order of their own
            verbose=0,
            callbacks=callbacks,
        )


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
