import keras
import numpy as np
import pytest

from t2t_keras.training.checkpoint.run_state import BestWeights, RunState


def small_model():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("monitor, expected", [("val_accuracy", 2), ("val_loss", 4)])
def test_the_best_epoch_s_weights_are_kept(monitor, expected):
    model = small_model()
    best = BestWeights(monitor)
    epochs = [(0.5, 1.0), (0.9, 0.7), (0.9, 0.6), (0.9, 0.6), (0.8, 0.1)]
    for epoch, (accuracy, loss) in enumerate(epochs):
        model.set_weights([np.full((1, 1), epoch)])
        best.update(model, epoch, {"val_accuracy": accuracy, "val_loss": loss})
    best.restore(model)
    assert best.epoch == expected
    assert model.get_weights()[0] == expected


@pytest.mark.parametrize(
    ("patience", "best_epoch", "epochs", "ended"),
    [(0, 0, 9, False), (2, None, 0, False), (2, 3, 5, False), (2, 3, 6, True)],
)
def test_a_run_ends_after_epochs_without_better_weights(patience, best_epoch, epochs, ended):
    best = BestWeights()
    best.epoch = best_epoch
    state = RunState(4, (0.1,) * 100, best, patience, history=[{}] * epochs)
    assert state.ended_early is state.finished is ended
