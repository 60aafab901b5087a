"""What happens during `fit` beside training and saying so."""

import contextlib
import csv
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np

from t2t_keras.errors import TrainingError
from t2t_keras.files import atomic_path
from t2t_keras.training.averaging import averaged_weights
from t2t_keras.training.devices import Batches
from t2t_keras.training.schedule import EpochRates
from t2t_keras.training.standing import Standing
from t2t_keras.training.variable_state import Arrays, captured, restore, weight_variables


class StopAtNonFinite(keras.callbacks.Callback):
    """Stops a run whose loss is no number any more, before its weights are kept anywhere.

    Stands before what keeps weights: the last step of an epoch shows in the validation loss alone.

    Args:
        standing: Where the run stands; moved on after this callback.
        explain: (epoch, step in it), both from 0, -> what else to say, in whole sentences.

    Raises:
        TrainingError: Names the epoch and step.
    """

    def __init__(self, standing: Standing, explain: Callable[[int, int], str]):
        super().__init__()
        self.standing = standing
        self.explain = explain

    def on_train_batch_end(self, batch, logs=None):
        self._require_finite("loss", logs["loss"], self.standing.step_in_epoch)

    def on_epoch_end(self, epoch, logs=None):
        self._require_finite("validation loss", logs["val_loss"], None)

    def _require_finite(self, what: str, loss, step: int | None) -> None:
        loss = float(loss)
        if math.isfinite(loss):
            return
        epoch, steps = self.standing.epoch, self.standing.steps_per_epoch
        where = "" if step is None else f", step {step + 1} of {steps}"
        last = steps - 1 if step is None else step
        raise TrainingError(
            f"The {what} became {loss} in epoch {epoch + 1}{where}. {self.explain(epoch, last)} "
            "Try a lower --lr, a longer --warmup_epochs, or --precision=float32 if it is another."
        )


class LogRate(keras.callbacks.Callback):
    """Puts the learning rate of each epoch into its logs; stands before those that write them."""

    def __init__(self, rates: EpochRates):
        super().__init__()
        self.rates = rates

    def on_epoch_end(self, epoch, logs=None):
        logs["learning_rate"] = self.rates.at(epoch)


class AveragedScores(keras.callbacks.Callback):
    """Measures the weights' average too: puts `val_ema_loss` and so on into each epoch's logs.

    Args:
        validation: What `fit` measures the weights themselves on.
    """

    def __init__(self, validation: Batches):
        super().__init__()
        self.validation = validation

    def on_epoch_end(self, epoch, logs=None):
        with averaged_weights(self.model):
            scores = self.model.evaluate(self.validation, verbose=0, return_dict=True)
        logs.update({f"val_ema_{name}": value for name, value in scores.items()})


class BestWeights(keras.callbacks.Callback):
    """Keeps the weights of the best epoch.

    Args:
        monitor: What is best: "val_accuracy", the highest, or "val_loss", the lowest. Of equal
            accuracies the one with the lowest loss counts.
        averaged: Whether it is the weights' average that is measured and kept; stands behind
            `AveragedScores` then.

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
            lent = averaged_weights if self.averaged else contextlib.nullcontext
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


class LogFile(keras.callbacks.Callback):
    """Writes the history as CSV, a line an epoch; always the whole file, so that it has no gaps.

    Args:
        path: The file.
        standing: Holds the history; moved on before this callback.
    """

    def __init__(self, path: Path, standing: Standing):
        super().__init__()
        self.path = path
        self.standing = standing

    def on_train_begin(self, logs=None):
        self._write()

    def on_epoch_end(self, epoch, logs=None):
        self._write()

    def _write(self) -> None:
        history = self.standing.history
        if not history:
            return
        with atomic_path(self.path) as part, open(part, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["epoch", *sorted(history[-1])], extrasaction="ignore")
            writer.writeheader()
            writer.writerows({"epoch": epoch, **logs} for epoch, logs in enumerate(history))
