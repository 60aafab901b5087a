"""The best weights of a run so far."""

import contextlib
from collections.abc import Mapping

import keras
import numpy as np

from t2t_keras.training.checkpoint.variables import Arrays, captured, restore, weight_variables
from t2t_keras.training.optimizers.averaging import ema_weights


class BestWeights(keras.callbacks.Callback):
    """Keeps the weights of the best epoch.

    Args:
        monitor: What is best: "val_accuracy", the highest, or "val_loss", the lowest. Of equal
            accuracies the one with the lowest loss counts.
        averaged: Whether it is the weights' average that is measured and kept; stands behind
            `EmaScores` then.

    Attributes:
        epoch: The best one, from 0; None before there is one.
        logs: What was logged at its end.
        weights: Key -> array.
    """

    def __init__(self, monitor: str = "val_accuracy", averaged: bool = False):
        super().__init__()
        self.monitor = monitor
        self.averaged = averaged
        self.epoch: int | None = None
        self.logs: dict[str, float] = {}
        self.weights: Arrays = {}

    def on_epoch_end(self, epoch, logs=None):
        if self.epoch is None or self._rank(logs) > self._rank(self.logs):
            self.epoch = epoch
            self.logs = dict(logs)
            lent = ema_weights if self.averaged else contextlib.nullcontext
            with lent(self.model):
                self.weights = captured(weight_variables(self.model))

    def go_on(self, epoch: int, logs: Mapping[str, float], weights: Mapping[str, np.ndarray]):
        """Takes up what another process had kept."""
        self.epoch, self.logs, self.weights = epoch, dict(logs), dict(weights)

    def restore(self, model: keras.Model) -> None:
        """Gives a model the weights that were kept."""
        restore(weight_variables(model), self.weights)

    def _rank(self, logs: Mapping[str, float]) -> tuple[float, float]:
        accuracy, loss = self.scores(logs)
        return (accuracy if self.monitor == "val_accuracy" else 0.0), -loss

    def scores(self, logs: Mapping[str, float]) -> tuple[float, float]:
        """Validation accuracy and loss of the weights that would be kept."""
        prefix = "val_ema_" if self.averaged else "val_"
        return logs[f"{prefix}accuracy"], logs[f"{prefix}loss"]
