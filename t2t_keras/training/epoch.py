"""The callbacks of a run, in the order they are called in."""

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import keras

from t2t_keras.data.pipeline import batch_names
from t2t_keras.data.sources.source import Source
from t2t_keras.errors import TrainingError
from t2t_keras.files import atomic_path
from t2t_keras.training.checkpoint.best_weights import BestWeights
from t2t_keras.training.checkpoint.checkpointer import Checkpointer
from t2t_keras.training.config import BACKBONE, TrainConfig
from t2t_keras.training.devices import Batches
from t2t_keras.training.optimizers.averaging import ema_weights
from t2t_keras.training.progress import Bar, EpochLogger, LogFile, StepLogger, Throughput
from t2t_keras.training.run_directory import LOG_NAME
from t2t_keras.training.run_state import RunState
from t2t_keras.training.schedule import EpochSchedule


class StopOnNonFinite(keras.callbacks.Callback):
    """Stops a run whose loss is no number any more, before its weights are kept anywhere.

    Stands before what keeps weights: the last step of an epoch shows in the validation loss alone.

    Args:
        standing: Where the run stands; moved on after this callback.
        explain: (epoch, step in it), both from 0, -> what else to say, in whole sentences.

    Raises:
        TrainingError: Names the epoch and step.
    """

    def __init__(self, run_state: RunState, explain: Callable[[int, int], str]):
        super().__init__()
        self.run_state = run_state
        self.explain = explain

    def on_train_batch_end(self, batch, logs=None):
        self._require_finite("loss", logs["loss"], self.run_state.step_in_epoch)

    def on_epoch_end(self, epoch, logs=None):
        self._require_finite("validation loss", logs["val_loss"], None)

    def _require_finite(self, what: str, loss, step: int | None) -> None:
        loss = float(loss)
        if math.isfinite(loss):
            return
        epoch, steps = self.run_state.epoch, self.run_state.steps_per_epoch
        where = "" if step is None else f", step {step + 1} of {steps}"
        last = steps - 1 if step is None else step
        raise TrainingError(
            f"The {what} became {loss} in epoch {epoch + 1}{where}. {self.explain(epoch, last)} "
            "Try a lower --lr, a longer --warmup_epochs, or --precision=float32 if it is another."
        )


BATCH_NAME = "stopped_at_batch.txt"
_SHOWN = 3


def blame(names: Sequence[str], folder: Path, last_checkpoint: Path | None) -> str:
    """Names a batch's images, and where the run could go on from.

    Args:
        names: Of the images; the file gets all of them, the sentence the first few.
        folder: The run's; gets `stopped_at_batch.txt`.
        last_checkpoint: None where there is none yet.
    """
    path = folder / BATCH_NAME
    with atomic_path(path) as part:
        part.write_bytes(b"".join(_line(name) for name in names))
    more = f" and {len(names) - _SHOWN} more, all in {path}" if len(names) > _SHOWN else ""
    kept = "there is no checkpoint yet" if last_checkpoint is None else f"it is {last_checkpoint}"
    return (
        f"The batch: {', '.join(names[:_SHOWN])}{more}. Nothing was kept of this step; "
        f"the last good checkpoint: {kept}."
    )


def _line(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape") + b"\n"


class LogRate(keras.callbacks.Callback):
    """Puts the learning rate of each epoch into its logs; stands before those that write them."""

    def __init__(self, rates: EpochSchedule):
        super().__init__()
        self.rates = rates

    def on_epoch_end(self, epoch, logs=None):
        logs["learning_rate"] = self.rates.at(epoch)


class EmaScores(keras.callbacks.Callback):
    """Measures the weights' average too: puts `val_ema_loss` and so on into each epoch's logs.

    Args:
        validation: What `fit` measures the weights themselves on.
    """

    def __init__(self, validation: Batches):
        super().__init__()
        self.validation = validation

    def on_epoch_end(self, epoch, logs=None):
        with ema_weights(self.model):
            scores = self.model.evaluate(self.validation, verbose=0, return_dict=True)
        logs.update({f"val_ema_{name}": value for name, value in scores.items()})


_log = logging.getLogger(__name__)


class EarlyStop(keras.callbacks.Callback):
    """Ends a run when its best weights have not changed for some epochs.

    It keeps nothing that a checkpoint would have to hold: a run that goes on ends where one does
    that was left alone. Keras' `EarlyStopping` counts from where `fit` begins.

    Args:
        standing: Where the run stands; moved on before this callback.
        best: Knows the best epoch.
        patience: Number of epochs; 0 never ends it.
    """

    def __init__(self, run_state: RunState, best: BestWeights, patience: int):
        super().__init__()
        self.run_state = run_state
        self.best = best
        self.patience = patience

    def on_epoch_end(self, epoch, logs=None):
        if self.look():
            self.model.stop_training = True
            _log.info("No better weights for %d epochs: the run ends early.", self.patience)

    def look(self) -> bool:
        """Ends the run where it is time, and says whether it is; also called as a run goes on."""
        if self.patience and self.best.epoch is not None:
            waited = len(self.run_state.history) - 1 - self.best.epoch
            self.run_state.ended = waited >= self.patience
        return self.run_state.ended


TENSORBOARD_NAME = "tensorboard"


def run_callbacks(
    config: TrainConfig,
    source: Source,
    validation: Batches,
    checkpointer: Checkpointer,
    end: EarlyStop,
    rates: EpochSchedule,
    folder: Path,
    verbose: int,
) -> list[keras.callbacks.Callback]:
    """Nothing is kept or shown before it was found finite.

    Args:
        config: The settings.
        source: What is trained on.
        validation: What `fit` measures the weights on.
        keeper: Writes checkpoints; knows standing, best weights and processes.
        end: Ends the run early.
        rates: The learning rates.
        folder: The run's.
        verbose: 0 a line an epoch, 1 Keras' bar too, 2 a line every `log_every` steps.
    """
    run_state, best = checkpointer.run_state, checkpointer.best

    def explain(epoch: int, step: int) -> str:
        if not checkpointer.processes.first:
            return "Process 0 names the batch."
        if config.freeze == BACKBONE:
            return "It comes of features that were computed before."
        names = batch_names(source, config.batch_size, config.seed, epoch, step)
        return blame(names, folder, checkpointer.last_path)

    pace = Throughput(run_state, config.batch_size)
    found = [
        StopOnNonFinite(run_state, explain),
        LogRate(rates),
        *([EmaScores(validation)] if best.averaged else []),
        best,
    ]
    if not checkpointer.processes.first:
        return [*found, checkpointer, end]
    return [
        *found,
        *([Bar(pace)] if verbose == 1 else []),
        keras.callbacks.TensorBoard(folder / TENSORBOARD_NAME, write_graph=False),
        checkpointer,
        LogFile(folder / LOG_NAME, run_state),
        pace,
        EpochLogger(best, pace),
        *([StepLogger(pace, rates, config.log_every)] if verbose == 2 else []),
        end,
    ]
