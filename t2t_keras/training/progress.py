"""The scores of every epoch as a table in a file."""

import csv
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras

from t2t_keras.files import atomic_path
from t2t_keras.training.checkpoint.best_weights import BestWeights
from t2t_keras.training.run_state import RunState
from t2t_keras.training.schedule import EpochSchedule

_log = logging.getLogger(__name__)


class Throughput(keras.callbacks.Callback):
    """Measures how fast a run is, from the end of its first step on, which compiles.

    Args:
        standing: Where the run stands; moved on before this callback.
        batch_size: Images in a step.
    """

    def __init__(self, run_state: RunState, batch_size: int):
        super().__init__()
        self.run_state = run_state
        self.batch_size = batch_size
        self._run: tuple[float, int] | None = None
        self._epoch: tuple[float, int] | None = None
        self._now = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = None

    def on_train_batch_end(self, batch, logs=None):
        self._now = time.monotonic()
        here = (self._now, self.run_state.step)
        self._run = self._run or here
        self._epoch = self._epoch or here

    @property
    def images_per_second(self) -> float:
        """Images trained on in a second, in this epoch; 0 where nothing was measured yet."""
        if self._epoch is None or self.run_state.step == self._epoch[1]:
            return 0.0
        steps = self.run_state.step - self._epoch[1]
        return steps * self.batch_size / max(self._now - self._epoch[0], 1e-9)

    def left(self) -> str:
        """How long the run will still take, validation included; empty where nobody knows."""
        steps = self.run_state.epochs * self.run_state.steps_per_epoch - self.run_state.step
        if self._run is None or self.run_state.step == self._run[1] or not steps:
            return ""
        per_step = (time.monotonic() - self._run[0]) / (self.run_state.step - self._run[1])
        return f"{_duration(steps * per_step)} left"


class Bar(keras.callbacks.ProgbarLogger):
    """Keras' bar, with images per second; an epoch that goes on shows what is left of it."""

    def __init__(self, pace: Throughput):
        super().__init__()
        self.pace = pace

    def set_params(self, params):
        super().set_params({**params, "verbose": 1, "epochs": self.pace.run_state.epochs})

    def on_train_batch_end(self, batch, logs=None):
        speed = self.pace.images_per_second
        shown = {"images_per_second": speed} if speed else {}
        super().on_train_batch_end(batch, {**logs, **shown})


class StepLogger(keras.callbacks.Callback):
    """Logs a line every few steps.

    Args:
        pace: Stands before this callback.
        rates: The learning rates.
        every: Steps between two lines; at least 1.
    """

    def __init__(self, pace: Throughput, rates: EpochSchedule, every: int):
        super().__init__()
        self.pace = pace
        self.rates = rates
        self.every = every

    def on_train_batch_end(self, batch, logs=None):
        run_state = self.pace.run_state
        if run_state.step % self.every:
            return
        left, speed = self.pace.left(), self.pace.images_per_second
        _log.info(
            "epoch %d of %d, step %d of %d: loss %.4f%s, learning rate %.3g%s",
            run_state.epoch + 1,
            run_state.epochs,
            run_state.step_in_epoch,
            run_state.steps_per_epoch,
            logs["loss"],
            f", {speed:.3g} images/s" if speed else "",
            self.rates.at(run_state.epoch),
            left and f", {left}",
        )


class EpochLogger(keras.callbacks.Callback):
    """Logs after each epoch how the run stands and how long it will still take."""

    def __init__(self, best: BestWeights, pace: Throughput):
        super().__init__()
        self.best = best
        self.pace = pace

    def on_epoch_end(self, epoch, logs=None):
        left = self.pace.left()
        _log.info(
            "epoch %d of %d: validation accuracy %.4f, loss %.4f; best %s: epoch %d%s",
            epoch + 1,
            self.pace.run_state.epochs,
            *self.best.scores(logs),
            self.best.monitor.removeprefix("val_"),
            self.best.epoch + 1,
            left and f"; {left}",
        )


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


class LogFile(keras.callbacks.Callback):
    """Writes the log after every epoch.

    Args:
        path: The file.
        standing: Holds the history; moved on before this callback.
    """

    def __init__(self, path: Path, run_state: RunState):
        super().__init__()
        self.path = path
        self.run_state = run_state

    def on_epoch_end(self, epoch, logs=None):
        write_log(self.path, self.run_state.history)


def write_log(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Writes a history as CSV, a line an epoch; always the whole file, so that it has no gaps."""
    if not history:
        return
    with atomic_path(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["epoch", *sorted(history[-1])], extrasaction="ignore")
        writer.writeheader()
        writer.writerows({"epoch": epoch, **logs} for epoch, logs in enumerate(history))
