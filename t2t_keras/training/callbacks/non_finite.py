"""Ends a run whose loss is no number any more."""

import math
from collections.abc import Callable

import keras

from t2t_keras.errors import TrainingError
from t2t_keras.training.callbacks.standing import Standing


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
