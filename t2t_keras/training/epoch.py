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
from t2t_keras.training.devices.run_devices import Devices
from t2t_keras.training.inputs import RunInputs
from t2t_keras.training.optimizers.averaging import ema_weights
from t2t_keras.training.progress import Progress

BATCH_NAME = "stopped_at_batch.txt"
_SHOWN = 3

_log = logging.getLogger(__name__)


class EpochCallback(keras.callbacks.Callback):
    """Runs what surrounds a step, in this order: checks, checkpoints, progress, signals."""

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

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.signals.deferred = True  # until a step's weights are in a checkpoint
        self.checkpointer.restore_metrics(self.model)
        if self.progress:
            self.progress.begin_epoch()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        state = self.run_state
        state.step += 1
        self._check_finite("loss", logs["loss"])
        due = self.save_every and state.step % self.save_every == 0
        signal = self._agreed_signal()
        if signal or due or not state.steps_left:
            self.checkpointer.write(self.model)
        if self.progress:
            self.progress.end_step(logs)
        if signal:
            raise RunInterrupted(signal)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Validates after an epoch's last step; a run that was stopped there resumes here."""
        state = self.run_state
        if self.processes.count == 1:
            self.signals.stop_deferring()  # the validation can be stopped anywhere
        logs = {**state.epoch_logs, "learning_rate": state.rates[epoch], **self._evaluate("val_")}
        self._check_finite("validation loss", logs["val_loss"])
        if state.best.averaged:
            with ema_weights(self.model):
                logs |= self._evaluate("val_ema_")
            self._check_finite("averaged weights' validation loss", logs["val_ema_loss"])
        state.best.update(self.model, epoch, logs)
        self.signals.deferred = True
        state.history.append(logs)
        state.epoch_logs = {}
        self.checkpointer.write(self.model)
        if self.progress:
            self.progress.end_epoch(epoch, logs)
        if state.ended_early:
            self.model.stop_training = True
            _log.info("No better weights for %d epochs: the run ends early.", state.patience)
        if signal := self._agreed_signal():
            raise RunInterrupted(signal)

    def _agreed_signal(self) -> int:
        """The signal to stop that any of the processes has received; 0 if none has."""
        return self.processes.highest(self.signals.received or 0)

    def _evaluate(self, prefix: str) -> dict[str, float]:
        scores = self.model.evaluate(self.validation, verbose=0, return_dict=True)
        return {f"{prefix}{name}": value for name, value in scores.items()}

    def _check_finite(self, name: str, value: Any) -> None:
        """Raises a TrainingError unless the loss of the last step or of a validation is finite."""
        if math.isfinite(float(value)):
            return
        state, place = self.run_state, ""
        last = f"the last good checkpoint is {self.checkpointer.last_path}."
        if name == "loss":
            place = f", step {state.step_in_epoch} of {state.steps_per_epoch}"
        else:
            last += " It holds the weights of this validation: remove it before you start again."
        raise TrainingError(
            f"The {name} became {float(value)} in epoch {state.epoch + 1}{place}. "
            f"{self._describe_batch()} Nothing was kept of this step; {last} {ADVICE}"
        )

    def _describe_batch(self) -> str:
        """A sentence about the batch of the last step; its images' names are written to a file."""
        if not self.processes.first:
            return "Process 0 names the batch."
        if self.inputs.batch_names is None:
            return "The features were computed before the run."
        state, path = self.run_state, self.folder / BATCH_NAME
        names = self.inputs.batch_names(state.epoch, state.step_in_epoch - 1)
        write_text(path, "".join(f"{name}\n" for name in names))
        more = f" and {len(names) - _SHOWN} more, all in {path}" if len(names) > _SHOWN else ""
        return f"The batch: {', '.join(names[:_SHOWN])}{more}."


def fit_to_end(
    model: keras.Model, callback: EpochCallback, *others: keras.callbacks.Callback
) -> None:
    """Trains the rest of a run.

    `fit` counts whole epochs of one length, so the rest of an interrupted epoch is a `fit` of its
    own.
    """
    state = callback.run_state
    callback.checkpointer.start_clock()
    while not state.finished:
        if not state.steps_left:
            callback.set_model(model)
            callback.on_epoch_end(state.epoch)
            continue
        rest = callback.inputs.training(state.step)
        if state.step_in_epoch:  # no iterator stays at work after the rest of an epoch
            rest = rest.take(state.steps_left)
        model.fit(
            callback.devices.distribute(rest),
            initial_epoch=state.epoch,
            epochs=state.epoch + 1 if state.step_in_epoch else state.epochs,
            steps_per_epoch=state.steps_left,
            shuffle=False,  # the batches have an order of their own
            verbose=0,
            callbacks=[*others, callback],
        )
    callback.signals.stop_deferring()
