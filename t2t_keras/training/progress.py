"""Progress of a run: a bar, log lines, `log.csv` and TensorBoard's events."""

import logging
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import tensorflow as tf

from t2t_keras.files import write_csv
from t2t_keras.training.checkpoint.run_state import RunState
from t2t_keras.training.config import TrainConfig
from t2t_keras.training.run_directory import LOG_NAME, TENSORBOARD_NAME

_log = logging.getLogger(__name__)

Moment = tuple[float, int]  # in seconds, and the step that ended then


class Progress:
    """Shows and records how far a run has come; its state is one step ahead of each call.

    Speed is measured from the end of the first step, which compiles. `verbose` is as in `train`.
    """

    def __init__(self, folder: Path, config: TrainConfig, run_state: RunState, verbose: int):
        self.folder = folder
        self.run_state = run_state
        self.batch_size = config.batch_size
        self.log_every = config.log_every
        self.verbose = verbose
        self._run_began: Moment | None = None
        self._epoch_began: Moment | None = None
        self._now = 0.0
        self._bar: keras.utils.Progbar | None = None
        self._writers: dict[str, tf.summary.SummaryWriter] = {}

    def begin_epoch(self) -> None:
        """Starts a new bar; a resumed epoch has one of the steps that are left."""
        self._epoch_began = None
        if self.verbose == 1 and self.run_state.steps_left:
            sys.stdout.write(f"Epoch {self.run_state.epoch + 1}/{self.run_state.epochs}\n")
            self._bar = keras.utils.Progbar(self.run_state.steps_left, stateless_metrics=())

    def end_step(self, logs: Mapping[str, float]) -> None:
        """Shows a step."""
        state, self._now = self.run_state, time.monotonic()
        self._epoch_began = self._epoch_began or (self._now, state.step)
        self._run_began = self._run_began or self._epoch_began
        seconds = self._seconds_per_step(self._epoch_began)
        speed = self.batch_size / seconds if seconds else 0.0
        if self._bar is not None:
            done = self._bar.target - state.steps_left
            shown = {**logs, "images_per_second": speed} if speed else logs
            self._bar.update(done, list(shown.items()), finalize=False)
        if self.verbose == 2 and state.step % self.log_every == 0:
            left = self._time_left()
            _log.info(
                "%s: loss %.4f%s, learning rate %.3g%s",
                state.place,
                logs["loss"],
                f", {speed:.3g} images/s" if speed else "",
                state.rates[state.epoch],
                left and f", {left}",
            )

    def end_epoch(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Shows and records an epoch."""
        self._now = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._bar.target, list(logs.items()), finalize=True)
            self._bar = None
        write_log(self.folder, self.run_state.history)
        self._log_epoch(epoch, logs)
        self._write_events(epoch, logs)

    def _seconds_per_step(self, since: Moment | None) -> float:
        """Seconds that a step has taken since a moment; 0 if none has ended."""
        steps = self.run_state.step - since[1] if since else 0
        return max(self._now - since[0], 1e-9) / steps if since and steps else 0.0

    def _time_left(self) -> str:
        """The time until the end of the run, validations included; empty if not known."""
        steps = self.run_state.epochs * self.run_state.steps_per_epoch - self.run_state.step
        seconds = self._seconds_per_step(self._run_began) * steps
        return f"{_duration(seconds)} left" if seconds else ""

    def _log_epoch(self, epoch: int, logs: Mapping[str, float]) -> None:
        best, left = self.run_state.best, self._time_left()
        _log.info(
            "epoch %d of %d: validation accuracy %.4f, loss %.4f; best %s: epoch %d%s",
            epoch + 1,
            self.run_state.epochs,
            *best.scores(logs),
            best.monitor.removeprefix("val_"),
            (best.epoch or 0) + 1,
            left and f"; {left}",
        )

    def _write_events(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Writes the scalars of Keras' `TensorBoard`, which logs the next epoch's rate, though."""
        for name, value in logs.items():
            part = "validation" if name.startswith("val_") else "train"
            if part not in self._writers:
                folder = self.folder / TENSORBOARD_NAME / part
                self._writers[part] = tf.summary.create_file_writer(str(folder))
            with self._writers[part].as_default():
                tf.summary.scalar(f"epoch_{name.removeprefix('val_')}", value, step=epoch)
        for writer in self._writers.values():
            writer.flush()


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def write_log(folder: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Writes a history as CSV, a line an epoch; always the whole file, so that it has no gaps."""
    if not history:
        return
    names = sorted(history[-1])
    rows = [[epoch, *(logs.get(name) for name in names)] for epoch, logs in enumerate(history)]
    write_csv(folder / LOG_NAME, [["epoch", *names], *rows])
