"""What happens during `fit` beside training."""

import logging
import math
import time

import keras

from t2t_keras.errors import TrainingError
from t2t_keras.training.schedule import EpochRates

_log = logging.getLogger(__name__)


class StopAtNonFinite(keras.callbacks.Callback):
    """Stops a run whose loss is no number any more, before its weights are kept anywhere.

    Stands before what keeps weights: the last step of an epoch shows in the validation loss alone.

    Raises:
        TrainingError: Names the epoch and step.
    """

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        steps = self.params["steps"]
        self._require_finite("loss", logs["loss"], f", step {batch + 1} of {steps}")

    def on_epoch_end(self, epoch, logs=None):
        self._require_finite("validation loss", logs["val_loss"], "")

    def _require_finite(self, what, loss, where):
        loss = float(loss)
        if not math.isfinite(loss):
            raise TrainingError(
                f"The {what} became {loss} in epoch {self.epoch + 1}{where}. No weights were "
                "saved. Try a lower --lr, a longer --warmup_epochs, or --precision=float32 if it "
                "is another."
            )


class LogRate(keras.callbacks.Callback):
    """Puts the learning rate of each epoch into its logs; stands before those that write them."""

    def __init__(self, rates: EpochRates):
        super().__init__()
        self.rates = rates

    def on_epoch_end(self, epoch, logs=None):
        logs["learning_rate"] = self.rates.at(epoch)


class BestWeights(keras.callbacks.Callback):
    """Keeps the weights of the best epoch, in memory.

    Args:
        monitor: What is best: "val_accuracy", the highest, or "val_loss", the lowest. Of equal
            accuracies the one with the lowest loss counts.
    """

    def __init__(self, monitor: str = "val_accuracy"):
        super().__init__()
        self.monitor = monitor
        self.epoch = None
        self.logs: dict[str, float] = {}
        self._weights = None

    def on_epoch_end(self, epoch, logs=None):
        if self.epoch is None or self._rank(logs) > self._rank(self.logs):
            self.epoch = epoch
            self.logs = dict(logs)
            self._weights = self.model.get_weights()

    def restore(self) -> None:
        """Gives the model the weights that were kept."""
        self.model.set_weights(self._weights)

    def _rank(self, logs: dict[str, float]) -> tuple[float, float]:
        accuracy = logs["val_accuracy"] if self.monitor == "val_accuracy" else 0.0
        return accuracy, -logs["val_loss"]


class EpochLine(keras.callbacks.Callback):
    """Logs after each epoch how the run stands and how long it will still take."""

    def __init__(self, best: BestWeights):
        super().__init__()
        self.best = best

    def on_train_begin(self, logs=None):
        self.ends = []

    def on_epoch_end(self, epoch, logs=None):
        self.ends.append(time.monotonic())
        left = self.params["epochs"] - epoch - 1
        _log.info(
            "epoch %d of %d: validation accuracy %.4f, loss %.4f; best %s: epoch %d%s",
            *(epoch + 1, self.params["epochs"], logs["val_accuracy"], logs["val_loss"]),
            *(self.best.monitor.removeprefix("val_"), self.best.epoch + 1),
            f"; {_duration(left * self._epoch_seconds())} left" if left and epoch else "",
        )

    def _epoch_seconds(self) -> float:
        """The mean without the first epoch, most of which is compilation."""
        return (self.ends[-1] - self.ends[0]) / (len(self.ends) - 1)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
