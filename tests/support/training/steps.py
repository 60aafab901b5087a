"""A model of two layers and one batch for it: all that a training step needs."""

import keras
import numpy as np

from t2t_keras.training.model import precision as computing_in

_random = np.random.default_rng(5)
IMAGES = _random.normal(size=(8, 4)).astype(np.float32)
TARGETS = _random.dirichlet(np.ones(3), size=8).astype(np.float32)


def small_model() -> keras.Model:
    """(B, 4) to (B, 3) logits in float32; the same weights every time."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(5, activation="tanh", name="hidden")(inputs)
    return keras.Model(inputs, keras.layers.Dense(3, dtype="float32", name="logits")(hidden))


def compiled(
    optimizer: keras.Optimizer, precision="float32", wrap=lambda model: model, **options
) -> keras.Model:
    """The small model, compiled as a run does it, with a built optimizer."""
    with computing_in(precision):
        model = wrap(small_model())
    optimizer.build(model.trainable_variables)
    model.compile(
        optimizer,
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        weighted_metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        **options,
    )
    return model


def values(variables) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable) for variable in variables]
