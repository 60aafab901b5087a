"""Steps on one and on two CPU devices, as JSON: needs a fresh process."""

import json
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from t2t_keras.training import accumulating, ema_weights, transfer_optimizer
from t2t_keras.training.devices.mirrored import make_strategy
from t2t_keras.training.optimizers.gradients import LossScale
from t2t_keras.training.optimizers.optimizer import SGD
from tests.support.training.steps import IMAGES, TARGETS, compiled

RATES = {"hidden/kernel": 0.25, "logits/bias": 3.0}
DEVICES = ("cpu:0", "cpu:1")
BROKEN = IMAGES.copy()
BROKEN[-1] = np.inf  # in the second device's half


def run(count: int, batches: list, parts: int = 1, precision: str = "float32") -> dict:
    """A run of some batches, one epoch each, on so many devices."""
    with make_strategy(DEVICES[:count]).scope():
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
    with make_strategy(DEVICES).scope(), tempfile.TemporaryDirectory() as folder:
        inputs = keras.Input((4,))
        hidden = keras.layers.Dense(5, activation="tanh", name="hidden")(inputs)
        model = keras.Model(inputs, keras.layers.Dense(3, name="head")(hidden))
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        model.compile(transfer_optimizer(model, 0.5, backbone_lr_ratio=0.1), loss)
        model.fit(IMAGES, TARGETS, verbose=0)
        model.save(Path(folder) / "model.keras")
        loaded = keras.saving.load_model(Path(folder) / "model.keras")
    before = model.get_weights()
    for one in (model, loaded):
        one.fit(IMAGES, TARGETS, epochs=2, shuffle=False, verbose=0)
    made = {"before": before, "model": model.get_weights(), "loaded": loaded.get_weights()}
    return {name: [array.tolist() for array in arrays] for name, arrays in made.items()}


if __name__ == "__main__":
    make_strategy(DEVICES)  # first of all, while the CPU can still be split
    good = [IMAGES, IMAGES]
    report = {
        "one": run(1, good),
        "two in parts": run(2, good, parts=2),
        "two in float16, one skipped": run(2, [IMAGES, BROKEN, IMAGES], precision="float16"),
        "transfer": saved_and_gone_on(),
    }
    sys.stdout.write(json.dumps(report))
