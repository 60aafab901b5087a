"""A run with all its bookkeeping around a tiny model: everything but the images."""

import functools
import signal
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from t2t_keras.errors import RunInterrupted
from t2t_keras.training import make_config
from t2t_keras.training.checkpoint.checkpointer import Checkpointer
from t2t_keras.training.checkpoint.run_state import BestWeights, RunState
from t2t_keras.training.checkpoint.signals import StopSignals
from t2t_keras.training.checkpoint.store import newest_checkpoint
from t2t_keras.training.devices.mirrored import decorrelate_dropout
from t2t_keras.training.devices.run_devices import Devices
from t2t_keras.training.epoch import EpochCallback, fit_to_end
from t2t_keras.training.inputs import RunInputs
from t2t_keras.training.optimizers.gradients import LossScale

STEPS, EPOCHS, BATCH = 4, 3, 6  # sums of 12 on each of two devices: their means are rounded


class At(keras.callbacks.Callback):
    """Does something once, when so many of an event have come: "begin" or "end" of a step, "test"
    for a batch of a validation, "tested" for its end, "ended" for that of the last epoch."""

    def __init__(self, event: str, count: int, action):
        super().__init__()
        self.event, self.left, self.action = event, count, action

    def _count(self, event):
        self.left -= event == self.event
        if event == self.event and self.left == 0:
            self.action()

    def on_train_batch_begin(self, batch, logs=None):
        self._count("begin")

    def on_train_batch_end(self, batch, logs=None):
        self._count("end")

    def on_test_batch_begin(self, batch, logs=None):
        self._count("test")

    def on_test_end(self, logs=None):
        self._count("tested")

    def on_train_end(self, logs=None):
        self._count("ended")


def _compiled(loss_scaled: bool, ema: bool, eager: bool) -> keras.Model:
    inputs = keras.Input((3,))
    outputs = keras.layers.Dropout(0.4, seed=1)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1, name="dense")(outputs))
    optimizer = keras.optimizers.AdamW(0.1, use_ema=ema, ema_overwrite_frequency=10**9)
    if loss_scaled:
        optimizer = LossScale(optimizer, initial_scale=8.0)
    metrics = [keras.metrics.MeanSquaredError("accuracy")]
    model.compile(optimizer, "mse", weighted_metrics=metrics, run_eagerly=eager)
    optimizer.build(model.trainable_variables)
    return model


class Toy:
    """A run in a folder, resumed from its newest checkpoint.

    `every` are the steps between checkpoints, `poison` is the step, over all epochs, whose inputs
    are NaN. Without a strategy it runs on the CPU, which is quick for so few steps.
    """

    def __init__(
        self,
        folder: Path,
        every: int = 0,
        poison: int | None = None,
        loss_scaled: bool = False,
        ema: bool = False,
        strategy: tf.distribute.Strategy | None = None,
    ):
        keras.utils.set_random_seed(0)
        with (strategy or tf.distribute.OneDeviceStrategy("/cpu:0")).scope():
            self.model = _compiled(loss_scaled, ema, eager=strategy is None)
        decorrelate_dropout(self.model)
        self.poison = poison
        self.run_state = RunState(STEPS, (0.1,) * EPOCHS, BestWeights("val_loss"))
        self.checkpointer = Checkpointer(folder, self.run_state, {"settings": {"lr": 0.1}})
        if (checkpoint := newest_checkpoint(folder / "checkpoints")) is not None:
            self.checkpointer.restore(self.model, checkpoint)
        held_out = tf.data.Dataset.from_tensors((np.ones((2, 3)), np.ones((2, 1)))).repeat(2)
        config = make_config(batch_size=BATCH, save_every=every)
        inputs = RunInputs(
            self._batches,
            held_out.apply(tf.data.experimental.assert_cardinality(2)),
            lambda epoch, step: [f"image {epoch} {step}"],
        )
        self.callback = EpochCallback(
            config, folder, inputs, self.checkpointer, StopSignals(), Devices(), 0
        )

    def _batches(self, start: int) -> tf.data.Dataset:
        dice = np.random.default_rng(5)
        inputs = dice.standard_normal((STEPS * EPOCHS, BATCH, 3), np.float32)
        if self.poison is not None:
            inputs[self.poison] = np.nan
        targets = inputs.sum(axis=-1, keepdims=True)
        return tf.data.Dataset.from_tensor_slices((inputs[start:], targets[start:]))

    def run(self, *others: keras.callbacks.Callback) -> "Toy":
        with self.callback.signals.listening():
            self.model.evaluate = functools.partial(self.model.evaluate, callbacks=[*others])
            fit_to_end(self.model, self.callback, *others)
        return self


def stop(folder: Path, event: str, count: int, number: int = signal.SIGTERM, **toy: Any) -> None:
    """Lets a run continue until a signal, which it must name."""
    with pytest.raises(RunInterrupted) as stopped:
        Toy(folder, **toy).run(At(event, count, lambda: signal.raise_signal(number)))
    assert stopped.value.number == number
