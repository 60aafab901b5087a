import keras
import numpy as np
import pytest

from t2t_keras.training.checkpoint.best_weights import BestWeights


def small_model():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("monitor, expected", [("val_accuracy", 2), ("val_loss", 4)])
def test_the_best_epoch_s_weights_are_kept(monitor, expected):
    model = small_model()
    best = BestWeights(monitor)
    best.set_model(model)
    epochs = [(0.5, 1.0), (0.9, 0.7), (0.9, 0.6), (0.9, 0.6), (0.8, 0.1)]
    for epoch, (accuracy, loss) in enumerate(epochs):
        model.set_weights([np.full((1, 1), epoch)])
        best.on_epoch_end(epoch, {"val_accuracy": accuracy, "val_loss": loss})
    best.restore(model)
    assert best.epoch == expected
    assert model.get_weights()[0] == expected
