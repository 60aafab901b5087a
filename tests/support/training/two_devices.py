"""Trains on one and two CPU devices, and prints a report as JSON: needs a fresh process."""

import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from t2t_keras.errors import RunInterrupted
from t2t_keras.training import accumulating, build_optimizer, ema_weights, make_config, train
from t2t_keras.training.checkpoint.store import Checkpoint, newest_checkpoint
from t2t_keras.training.checkpoint.variables import named
from t2t_keras.training.optimizers.gradients import LossScale
from t2t_keras.training.optimizers.optimizer import SGD
from tests.support.plain_graphs import leave_graphs_alone
from tests.support.training.steps import IMAGES, TARGETS, compiled
from tests.support.training.tiny_run import FIELDS, contents
from tests.support.training.toy import At, Toy, stop

DEVICES = ("cpu:0", "cpu:1")
RATES = {"hidden/kernel": 0.25, "logits/bias": 3.0}
BROKEN = IMAGES.copy()
BROKEN[-1] = np.inf  # in the second device's half


def strategy(count: int = 2) -> tf.distribute.MirroredStrategy:
    """As a run's, but its sums do not get mixed up with those of the run in this process."""
    return tf.distribute.MirroredStrategy(DEVICES[:count], tf.distribute.ReductionToOneDevice())


def steps(count: int, batches: list, parts: int = 1, precision: str = "float32") -> dict:
    """A run of some batches, one epoch each, on so many devices."""
    with strategy(count).scope():
        optimizer = SGD(0.1, weight_decay=0.01, ema_decay=0.5, clip_grad=0.1, rate_factors=RATES)
        optimizer = LossScale(optimizer) if precision == "float16" else optimizer
        model = compiled(optimizer, precision, lambda model: accumulating(model, parts))
    images = tf.data.Dataset.from_tensor_slices((np.stack(batches), [TARGETS] * len(batches)))
    history = model.fit(
        images.repeat(), epochs=len(batches), steps_per_epoch=1, shuffle=False, verbose=0
    ).history
    own = model.get_weights()
    with ema_weights(model):
        averages = model.get_weights()
    back = all((kept == own).all() for kept, own in zip(model.get_weights(), own, strict=True))
    return {
        "history": history,
        "weights": [weight.tolist() for weight in own],
        "averages": [average.tolist() for average in averages],
        "back": back,
        "steps": int(tf.convert_to_tensor(optimizer.iterations)),
    }


def saved_and_gone_on() -> dict[str, list]:
    """The weights of a transfer on two devices, and of its copy that came from a file."""
    with strategy().scope(), tempfile.TemporaryDirectory() as folder:
        inputs = keras.Input((4,))
        hidden = keras.layers.Dense(5, activation="tanh", name="hidden")(inputs)
        model = keras.Model(inputs, keras.layers.Dense(3, name="head")(hidden))
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        transfer = {"backbone_lr_ratio": 0.1, "decay_all": True, "nesterov": False}
        model.compile(build_optimizer(model, 0.5, 5e-4, "sgd", **transfer), loss)
        model.fit(IMAGES, TARGETS, verbose=0)
        model.save(Path(folder) / "model.keras")
        loaded = keras.saving.load_model(Path(folder) / "model.keras")
    before = model.get_weights()
    for one in (model, loaded):
        one.fit(IMAGES, TARGETS, epochs=2, shuffle=False, verbose=0)
    made = {"before": before, "model": model.get_weights(), "loaded": loaded.get_weights()}
    return {name: [array.tolist() for array in arrays] for name, arrays in made.items()}


def masks(toy: Toy) -> list[list[float]]:
    """The masks of each device's dropout."""
    devices, layer = toy.model.distribute_strategy, toy.model.layers[1]

    @tf.function
    def draw():
        return devices.run(lambda: layer(tf.ones((1, 64)), training=True))

    return [mask.numpy().tolist() for mask in devices.experimental_local_results(draw())]


def summed(toy: Toy, checkpoint: Checkpoint) -> dict[str, list[float]]:
    """The shares of two devices in each running sum, and what one device resumes with."""
    found = {}

    def look():
        for key, variable in named("metrics", toy.model.metrics_variables).items():
            parts = [checkpoint.state[key], checkpoint.state[f"{key}@1"]]
            found[key] = [float(value) for value in (*parts, variable.numpy())]
        raise RunInterrupted(signal.SIGTERM)

    with pytest.raises(RunInterrupted):
        toy.run(At("begin", 1, look))
    return found


def stopped_and_resumed(folder: Path) -> dict[str, Any]:
    """Compares a run stopped in mid-epoch and in a validation with one that was not, and reports
    the sums that a single device resumes with.
    """
    Toy(folder / "undisturbed", strategy=strategy()).run()
    stopped = folder / "stopped"
    stop(stopped, "end", 6, strategy=strategy())
    sums = summed(Toy(stopped), newest_checkpoint(stopped / "checkpoints"))
    stop(stopped, "test", 1, strategy=strategy())
    Toy(stopped, strategy=strategy()).run()
    return {"same": contents(stopped) == contents(folder / "undisturbed"), "sums": sums}


if __name__ == "__main__":
    leave_graphs_alone()
    config = make_config(**{**FIELDS, "dataset": sys.argv[1], "devices": DEVICES})
    folder = Path(sys.argv[2])
    result = train(config, folder)  # first of all, while the CPU can still be split
    keras.utils.set_random_seed(0)
    good = [IMAGES, IMAGES]
    report = {
        "history": result.history,
        "replicas": result.replicas,
        "test_loss": result.scores.loss,
        "confusion": result.scores.confusion.tolist(),
        "masks": masks(Toy(folder / "toy", strategy=strategy())),
        **stopped_and_resumed(folder / "toy"),
        "one": steps(1, good),
        "two in parts": steps(2, good, parts=2),
        "two in float16, one skipped": steps(2, [IMAGES, BROKEN, IMAGES], precision="float16"),
        "transfer": saved_and_gone_on(),
    }
    sys.stdout.write(json.dumps(report))
