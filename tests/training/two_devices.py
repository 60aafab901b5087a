"""Trains on two CPU devices and prints what came of it as JSON: needs a fresh process."""

import json
import signal
import sys
from pathlib import Path

import keras
import tensorflow as tf

from t2t_keras.errors import RunInterrupted
from t2t_keras.training import make_config, train
from t2t_keras.training.recipes import SMALL_VARIANTS
from tests.quick_graphs import leave_graphs_alone
from tests.training.conftest import FIELDS, TINY
from tests.training.toy import At, Toy, contents

DEVICES = ("cpu:0", "cpu:1")


def strategy() -> tf.distribute.MirroredStrategy:
    """As a run's, but its sums do not get mixed up with those of the run in this process."""
    return tf.distribute.MirroredStrategy(DEVICES, tf.distribute.ReductionToOneDevice())


def masks(toy: Toy) -> list[list[float]]:
    """What the dropout of each device makes of the same ones."""
    devices, layer = toy.model.distribute_strategy, toy.model.layers[1]

    @tf.function
    def draw():
        return devices.run(lambda: layer(tf.ones((1, 64)), training=True))

    return [mask.numpy().tolist() for mask in devices.experimental_local_results(draw())]


def stopped_and_resumed(folder: Path) -> dict[str, bool]:
    """Whether a run that is stopped in mid-epoch ends alike, and goes on with one device."""
    Toy(folder / "undisturbed", strategy=strategy()).run()
    try:
        stop = At("end", 6, lambda: signal.raise_signal(signal.SIGTERM))
        Toy(folder / "stopped", strategy=strategy()).run(stop)
    except RunInterrupted:
        pass
    one_device = Toy(folder / "stopped")
    Toy(folder / "stopped", strategy=strategy()).run()
    one_device.folder = folder / "one"
    one_device.keeper.folder = folder / "one" / "checkpoints"
    (folder / "one").mkdir()
    loss = one_device.run().standing.history[1]["loss"]
    expected = contents(folder / "undisturbed")
    return {
        "same": contents(folder / "stopped") == expected,
        "counted_whole": abs(loss / expected["progress"]["history"][1]["loss"] - 1) < 0.5,
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
