"""The progress of a run: the state that changes while it trains, except for variables."""

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from t2t_keras.training.checkpoint.variables import Arrays, captured, named, restore
from t2t_keras.training.optimizers.averaging import ema_weights


class BestWeights:
    """The weights of the best epoch so far: of the highest "val_accuracy" or the lowest "val_loss".

    Among equal accuracies the lowest loss wins. If `averaged`, the weights' moving average is
    compared and kept; `val_ema_*` are its scores.
    """

    def __init__(self, monitor: str = "val_accuracy", averaged: bool = False):
        self.monitor = monitor
        self.averaged = averaged
        self.epoch: int | None = None  # from 0; None before there is one
        self.logs: dict[str, float] = {}
        self.weights: Arrays = {}

    def update(self, model: keras.Model, epoch: int, logs: Mapping[str, float]) -> None:
        """Keeps the model's weights if they are better than the ones kept so far."""
        if self.epoch is None or self._rank(logs) > self._rank(self.logs):
            with ema_weights(model) if self.averaged else contextlib.nullcontext():
                self.load(epoch, logs, captured(named("model", model.weights)))

    def load(
        self, epoch: int, logs: Mapping[str, float], weights: Mapping[str, np.ndarray]
    ) -> None:
        """Sets the best epoch, its logs and its weights."""
        self.epoch, self.logs, self.weights = epoch, dict(logs), dict(weights)

    def restore(self, model: keras.Model) -> None:
        """Gives a model the best weights."""
        restore(named("model", model.weights), self.weights)

    def scores(self, logs: Mapping[str, float]) -> tuple[float, float]:
        """Validation accuracy and loss of the weights that are compared."""
        prefix = "val_ema_" if self.averaged else "val_"
        return logs[f"{prefix}accuracy"], logs[f"{prefix}loss"]

    def _rank(self, logs: Mapping[str, float]) -> tuple[float, float]:
        accuracy, loss = self.scores(logs)
        return (accuracy if self.monitor == "val_accuracy" else 0.0), -loss


@dataclasses.dataclass(eq=False)
class RunState:
    """The progress of a run; all that is derived here depends on these fields alone."""

    steps_per_epoch: int
    rates: tuple[float, ...]  # the learning rate of each epoch of the whole run
    best: BestWeights = dataclasses.field(default_factory=BestWeights)
    patience: int = 0  # epochs without better weights after which the run ends; 0 never ends it
    step: int = 0  # batches trained on, over all epochs
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)  # finished epochs
    epoch_logs: dict[str, float] = dataclasses.field(default_factory=dict)  # before a validation
    seconds: float = 0.0  # spent in `fit`, in earlier processes too

    @property
    def epochs(self) -> int:
        """Epochs of the whole run."""
        return len(self.rates)

    @property
    def epoch(self) -> int:
        """The current epoch, from 0; it ends with its validation."""
        return len(self.history)

    @property
    def step_in_epoch(self) -> int:
        """Batches of this epoch already trained on."""
        return self.step - self.epoch * self.steps_per_epoch

    @property
    def steps_left(self) -> int:
        """Batches of this epoch still to train on."""
        return self.steps_per_epoch - self.step_in_epoch

    @property
    def place(self) -> str:
        """The last step in words, such as "epoch 2 of 40, step 3 of 20"."""
        step = f"step {self.step_in_epoch} of {self.steps_per_epoch}"
        return f"epoch {self.epoch + 1} of {self.epochs}, {step}"

    @property
    def ended_early(self) -> bool:
        """True once the best weights have not changed for `patience` epochs."""
        waited = self.epoch - 1 - self.best.epoch if self.best.epoch is not None else 0
        return 0 < self.patience <= waited

    @property
    def finished(self) -> bool:
        """True once nothing is left to train."""
        return self.ended_early or self.epoch >= self.epochs

    def columns(self) -> dict[str, list[float]]:
        """The history by the name of each logged quantity."""
        return {name: [logs[name] for logs in self.history] for name in self.history[-1]}

    def progress(self) -> dict[str, Any]:
        """The part of the state that a checkpoint keeps as JSON, without the step."""
        return {
            "history": list(self.history),
            "epoch_logs": self.epoch_logs,
            "best_epoch": self.best.epoch,
            "best_logs": self.best.logs,
            "seconds": self.seconds,
        }

    def load(
        self, step: int, progress: Mapping[str, Any], best_weights: Mapping[str, np.ndarray]
    ) -> None:
        """Sets the state from a checkpoint."""
        self.step = step
        self.history = list(progress["history"])
        self.epoch_logs = dict(progress["epoch_logs"])
        self.seconds = progress["seconds"]
        if progress["best_epoch"] is not None:
            self.best.load(progress["best_epoch"], progress["best_logs"], best_weights)
