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
from t2t_keras.training.checkpoint.variables import Arrays, captured, named, restore, run_variables
from t2t_keras.training.devices.mirrored import decorrelate_dropout

ADVICE = "Try a lower `lr`, a longer `warmup_epochs`, or `precision=float32` if it is not."


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
        self._metrics: Arrays = {}
        self._started = 0.0

    def restore(self, model: keras.Model, checkpoint: Checkpoint) -> None:
        """Sets the model, its built optimizer and the run's state."""
        restore(run_variables(model), checkpoint.state)
        decorrelate_dropout(model)
        self.run_state.load(checkpoint.step, checkpoint.progress, checkpoint.best)
        self._last = checkpoint.step
        self._metrics = {k: v for k, v in checkpoint.state.items() if k.startswith("metrics/")}

    def restore_metrics(self, model: keras.Model) -> None:
        """Sets the running sums of a resumed epoch; call it after Keras has reset its metrics."""
        if self._metrics:
            restore(named("metrics", model.metrics_variables), self._metrics)
            self._metrics = {}

    @property
    def last_path(self) -> str:
        """Path of the newest checkpoint, or words that say there is none."""
        if self._last is None:
            return "none: there is no checkpoint yet"
        return str(checkpoint_path(self.folder, self._last))

    def start_clock(self) -> None:
        """Starts counting the seconds that the run's state adds up."""
        self._started = time.monotonic()

    def write(self, model: keras.Model) -> None:
        """Writes a checkpoint of this moment, if its numbers are finite."""
        state = self.run_state
        if keras.backend.backend() == "jax":  # its variables are empty within an epoch
            model.jax_state_sync()
        variables = run_variables(model)
        if not state.steps_left:
            # As `fit` reports them. A step's logs are the mean over the devices, which rounds
            # differently from their sum.
            results = model.get_metrics_result()
            state.epoch_logs = {name: float(value) for name, value in results.items()}
        elif state.step_in_epoch:
            variables |= named("metrics", model.metrics_variables)
        arrays = captured(variables)
        self._check_finite(arrays)
        self._last = state.step
        state.seconds += time.monotonic() - self._started
        self.start_clock()
        if not self.writes:
            return
        progress = {**self.about, **state.progress()}
        write_checkpoint(self.folder, Checkpoint(state.step, arrays, state.best.weights, progress))
        best = state.best.epoch
        best_step = None if best is None else (best + 1) * state.steps_per_epoch
        prune_checkpoints(self.folder, state.step, best_step)

    def _check_finite(self, arrays: Arrays) -> None:
        for key, array in arrays.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise TrainingError(
                    f"{key} is not finite after step {self.run_state.step}. Nothing was written; "
                    f"the last good checkpoint is {self.last_path}. {ADVICE}"
                )
