"""Trains on two CPU devices and prints what came of it as JSON: needs a fresh process."""

import contextlib
import json
import signal
import sys
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from t2t_keras.errors import RunInterrupted
from t2t_keras.training import make_config, train
from t2t_keras.training.checkpoint.store import Checkpoint, newest_checkpoint
from t2t_keras.training.checkpoint.variables import metric_variables
from t2t_keras.training.recipes import SMALL_VARIANTS
from tests.support.plain_graphs import leave_graphs_alone
from tests.support.training.tiny_run import FIELDS, TINY
from tests.support.training.toy import At, Toy, contents

DEVICES = ("cpu:0", "cpu:1")


def strategy() -> tf.distribute.MirroredStrategy:
    """As a run's, but its sums do not get mixed up with those of the run in this process."""
    return tf.distribute.MirroredStrategy(DEVICES, tf.distribute.ReductionToOneDevice())


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
        for key, variable in metric_variables(toy.model).items():
            parts = [checkpoint.state[key], checkpoint.state[f"{key}@1"]]
            found[key] = [float(value) for value in (*parts, variable.numpy())]
        raise RunInterrupted(signal.SIGTERM)

    with contextlib.suppress(RunInterrupted):
        toy.run(At("begin", 1, look))
    return found


def stop(folder: Path, event: str, count: int) -> None:
    """Lets a run continue, and stops it."""
    with contextlib.suppress(RunInterrupted):
        at = At(event, count, lambda: signal.raise_signal(signal.SIGTERM))
        Toy(folder, strategy=strategy()).run(at)


def stopped_and_resumed(folder: Path) -> dict[str, Any]:
    """Compares a run stopped in mid-epoch and in a validation with one that was not, and reports
    the sums that a single device resumes with.
    """
    Toy(folder / "undisturbed", strategy=strategy()).run()
    stopped = folder / "stopped"
    stop(stopped, "end", 6)
    sums = summed(Toy(stopped), newest_checkpoint(stopped / "checkpoints"))
    stop(stopped, "test", 1)
    Toy(stopped, strategy=strategy()).run()
    return {
        "same": contents(stopped) == contents(folder / "undisturbed"),
        "sums": sums,
    }


if __name__ == "__main__":
    SMALL_VARIANTS["tiny"] = TINY
    leave_graphs_alone()
    config = make_config(**{**FIELDS, "dataset": sys.argv[1], "devices": DEVICES})
    folder = Path(sys.argv[2])
    result = train(config, folder)
    keras.utils.set_random_seed(0)
    report = {
        "history": result.history,
        "replicas": result.replicas,
        "test_loss": result.scores.loss,
        "confusion": result.scores.confusion.tolist(),
        "masks": masks(Toy(folder / "toy", strategy=strategy())),
        **stopped_and_resumed(folder / "toy"),
    }
    sys.stdout.write(json.dumps(report))
