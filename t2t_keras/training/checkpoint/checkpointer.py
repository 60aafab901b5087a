"""Writing a run's checkpoints and resuming from them."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from t2t_keras.errors import TrainingError
from t2t_keras.training.checkpoint.run_state import RunState
from t2t_keras.training.checkpoint.store import (
    CHECKPOINTS_NAME,
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
from t2t_keras.training.devices import decorrelate_dropout


class Checkpointer:
    """Writes a run's checkpoints and restores them; `writes` is False in all but one process."""

    def __init__(
        self, folder: Path, run_state: RunState, about: Mapping[str, Any], writes: bool = True
    ):
        self.folder = folder / CHECKPOINTS_NAME
        self.run_state = run_state
        self.about = about
        self.writes = writes
        self._last: int | None = None
        self._metrics: dict[str, np.ndarray] = {}
        self._held: Checkpoint | None = None
        self._started = 0.0

    def restore(self, model: keras.Model, checkpoint: Checkpoint) -> None:
        """Resumes a run: sets the model, its built optimizer and the run's state.

        Raises:
            ResumeError: The checkpoint belongs to another model or optimizer.
        """
        restore({**model_variables(model), **optimizer_variables(model)}, checkpoint.state)
        decorrelate_dropout(model)
        self.run_state.load(checkpoint.step, checkpoint.progress, checkpoint.best)
        self._last = checkpoint.step
        self._metrics = {k: v for k, v in checkpoint.state.items() if k.startswith("metrics/")}

    def restore_metrics(self, model: keras.Model) -> None:
        """Sets the running sums of a resumed epoch; call it after Keras has reset its metrics."""
        if self._metrics:
            restore(metric_variables(model), self._metrics)
            self._metrics = {}

    @property
    def last_path(self) -> Path | None:
        """Path of the newest checkpoint; None before there is one."""
        return None if self._last is None else checkpoint_path(self.folder, self._last)

    def start_clock(self) -> None:
        """Starts counting the seconds that the run's state adds up."""
        self._started = time.monotonic()

    def write(self, model: keras.Model) -> None:
        """Writes a checkpoint of this moment, if its numbers are finite; drops the held one."""
        self._held = None
        self._write(self._checkpoint(model))

    def hold(self, model: keras.Model) -> None:
        """Takes a checkpoint after an epoch's last step; `write_held` writes it if need be."""
        self.run_state.epoch_logs = self._epoch_logs(model)
        self._held = self._checkpoint(model)

    def write_held(self) -> None:
        """Writes the held checkpoint, if its epoch's validation did not come to its end."""
        if self._held is not None:
            self._write(self._held)

    def _epoch_logs(self, model: keras.Model) -> dict[str, float]:
        """The logs as `fit` will report them for the epoch.

        A step's logs are the mean over the devices, which rounds differently from their sum.
        """
        _fill_variables(model)
        return {name: float(value) for name, value in model.get_metrics_result().items()}

    def _checkpoint(self, model: keras.Model) -> Checkpoint:
        _fill_variables(model)
        variables = {**model_variables(model), **optimizer_variables(model)}
        if 0 < self.run_state.step_in_epoch < self.run_state.steps_per_epoch:
            variables |= metric_variables(model)
        now = time.monotonic()
        self.run_state.seconds += now - self._started
        self._started = now
        progress = {**self.about, **self.run_state.progress()}
        best = self.run_state.best.weights
        return Checkpoint(self.run_state.step, captured(variables), best, progress)

    def _write(self, checkpoint: Checkpoint) -> None:
        for key, array in checkpoint.state.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                last = self.last_path or "none: there was no checkpoint yet"
                raise TrainingError(
                    f"{key} is not finite after step {checkpoint.step}. Nothing was written; the "
                    f"last good checkpoint is {last}. Try a lower `lr`, a longer `warmup_epochs`, "
                    "or `precision=float32` if it is not."
                )
        self._last = checkpoint.step
        if not self.writes:
            return
        write_checkpoint(self.folder, checkpoint)
        best = self.run_state.best.epoch
        best_step = None if best is None else (best + 1) * self.run_state.steps_per_epoch
        prune_checkpoints(self.folder, checkpoint.step, best_step)


def _fill_variables(model: keras.Model) -> None:
    """Copies JAX's state into the variables, which are empty within an epoch there."""
    if keras.backend.backend() == "jax":
        model.jax_state_sync()
