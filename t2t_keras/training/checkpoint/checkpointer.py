"""Writes a run's checkpoints while it trains, and stops it where a signal asks for that."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from t2t_keras.errors import TrainingError
from t2t_keras.training.checkpoint.best_weights import BestWeights
from t2t_keras.training.checkpoint.signals import StopSignals
from t2t_keras.training.checkpoint.store import (
    Checkpoint,
    checkpoint_path,
    prune_checkpoints,
    write_checkpoint,
)
from t2t_keras.training.checkpoint.variables import (
    captured,
    metric_variables,
    model_variables,
    optimizer_variables,
    restore,
)
from t2t_keras.training.devices import ALONE, Processes, decorrelate_dropout
from t2t_keras.training.run_state import RunState


class Checkpointer(keras.callbacks.Callback):
    """Moves the run's standing on, and writes it to disk with everything that belongs to it.

    At the end of every epoch, every `every` steps, and where a signal asks to stop. Between an
    epoch's last step and the end of its validation the checkpoint to write is kept in memory.

    Args:
        folder: Of the checkpoints.
        standing: Where the run stands.
        best: The best weights; stands before this callback.
        signals: Asks to stop.
        every: Steps between checkpoints within an epoch; 0 for none.
        about: What else a checkpoint tells of its run: "settings" and what it started from.
        processes: The first one writes; a signal to any of them stops all.
    """

    def __init__(
        self,
        folder: Path,
        run_state: RunState,
        best: BestWeights,
        signals: StopSignals,
        *,
        every: int,
        about: Mapping[str, Any],
        processes: Processes = ALONE,
    ):
        super().__init__()
        self.folder = folder
        self.run_state = run_state
        self.best = best
        self.signals = signals
        self.every = every
        self.about = about
        self.processes = processes
        self.epoch_logs: dict[str, float] = {}
        self._last: int | None = None
        self._metrics: dict[str, np.ndarray] = {}
        self._waiting: Checkpoint | None = None
        self._started = 0.0

    def go_on(self, model: keras.Model, checkpoint: Checkpoint) -> None:
        """Takes up a run: the model, its built optimizer, the standing and the best weights.

        Raises:
            ResumeError: The checkpoint is of another model or optimizer.
        """
        restore({**model_variables(model), **optimizer_variables(model)}, checkpoint.state)
        decorrelate_dropout(model)
        progress = checkpoint.progress
        self.run_state.step = self._last = checkpoint.step
        self.run_state.history = list(progress["history"])
        self.run_state.seconds = progress["seconds"]
        if progress["best_epoch"] is not None:
            self.best.go_on(progress["best_epoch"], progress["best_logs"], checkpoint.best)
        self.epoch_logs = dict(progress["epoch_logs"])
        self._metrics = {k: v for k, v in checkpoint.state.items() if k.startswith("metrics/")}

    @property
    def last_path(self) -> Path | None:
        """Where the newest checkpoint lies; None before there is one."""
        return None if self._last is None else checkpoint_path(self.folder, self._last)

    def on_train_begin(self, logs=None):
        self._started = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        self.signals.deferred = self.run_state.steps_left > 0
        # Only now: Keras makes the metrics when `fit` begins, and resets them before each epoch.
        if self._metrics:
            restore(metric_variables(self.model), self._metrics)
            self._metrics = {}

    def on_train_batch_end(self, batch, logs=None):
        self.run_state.step += 1
        self._share_signal()
        if not self.run_state.steps_left:
            self.epoch_logs = self._epoch_logs()
            self._waiting = self._checkpoint({})
            if self.processes.count > 1:  # one that is lost ends the others in mid-validation
                self.write_waiting()
            else:
                self.signals.deferred = False
            self.signals.raise_if_asked()
        elif self.signals.asked or (self.every and self.run_state.step % self.every == 0):
            self._write(self._checkpoint(metric_variables(self.model)))
            self.signals.raise_if_asked()

    def on_epoch_end(self, epoch, logs=None):
        self.signals.deferred = True
        self._share_signal()
        self._waiting = None
        self.epoch_logs = {}
        self.run_state.history.append(dict(logs))
        self._write(self._checkpoint({}))
        self.signals.raise_if_asked()

    def on_train_end(self, logs=None):
        self.signals.deferred = False

    def write_waiting(self) -> None:
        """Writes the checkpoint of an epoch whose validation was broken off."""
        if self._waiting is not None:
            self._write(self._waiting)

    def _share_signal(self) -> None:
        """Has every process stop where one is asked to."""
        self.signals.asked = self.processes.highest(self.signals.asked or 0) or None

    def _epoch_logs(self) -> dict[str, float]:
        """What `fit` will log of the epoch: a step's logs are the mean of what the devices found,
        which rounds otherwise than what they found together.
        """
        self._fill_variables()
        return {name: float(value) for name, value in self.model.get_metrics_result().items()}

    def _fill_variables(self) -> None:
        """Within an epoch they are empty on JAX."""
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()

    def _checkpoint(self, metrics: Mapping[str, keras.Variable]) -> Checkpoint:
        self._fill_variables()
        variables = {**model_variables(self.model), **optimizer_variables(self.model), **metrics}
        now = time.monotonic()
        self.run_state.seconds += now - self._started
        self._started = now
        progress = {
            **self.about,
            "history": list(self.run_state.history),
            "epoch_logs": self.epoch_logs,
            "best_epoch": self.best.epoch,
            "best_logs": self.best.logs,
            "seconds": self.run_state.seconds,
        }
        return Checkpoint(self.run_state.step, captured(variables), self.best.weights, progress)

    def _write(self, checkpoint: Checkpoint) -> None:
        for key, array in checkpoint.state.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                kept = self.last_path or "no checkpoint: there was none yet"
                raise TrainingError(
                    f"{key} is not finite any more after step {checkpoint.step}. Nothing was "
                    f"written; the last good checkpoint is {kept}. Try a lower --lr, a longer "
                    "--warmup_epochs, or --precision=float32 if it is another."
                )
        self._last = checkpoint.step
        if not self.processes.first:
            return
        write_checkpoint(self.folder, checkpoint)
        best = self.best.epoch
        best_step = None if best is None else (best + 1) * self.run_state.steps_per_epoch
        prune_checkpoints(self.folder, checkpoint.step, best_step)
