import logging

import keras
import numpy as np
import pytest

from t2t_keras.errors import TrainingError
from t2t_keras.training.callbacks import BestWeights, EpochLine, StopAtNonFinite


def small_model():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_run_ends_at_the_step_whose_loss_is_no_number(bad):
    inputs = np.ones((8, 1), np.float32)
    inputs[5] = bad
    with pytest.raises(TrainingError, match="epoch 1, step 3 of 4.*No weights were saved"):
        small_model().fit(
            *(inputs, np.ones((8, 1))),
            batch_size=2,
            shuffle=False,
            verbose=0,
            callbacks=[StopAtNonFinite()],
        )


def test_a_run_ends_where_only_the_validation_loss_is_no_number():
    watch = StopAtNonFinite()
    watch.on_epoch_begin(2)
    with pytest.raises(TrainingError, match="validation loss became nan in epoch 3"):
        watch.on_epoch_end(2, {"loss": 0.5, "val_loss": np.nan, "val_accuracy": 0.9})


@pytest.mark.parametrize("monitor, expected", [("val_accuracy", 2), ("val_loss", 4)])
def test_the_best_epoch_s_weights_are_kept(monitor, expected):
    model = small_model()
    best = BestWeights(monitor)
    best.set_model(model)
    epochs = [(0.5, 1.0), (0.9, 0.7), (0.9, 0.6), (0.9, 0.6), (0.8, 0.1)]
    for epoch, (accuracy, loss) in enumerate(epochs):
        model.set_weights([np.full((1, 1), epoch)])
        best.on_epoch_end(epoch, {"val_accuracy": accuracy, "val_loss": loss})
    best.restore()
    assert best.epoch == expected
    assert model.get_weights()[0] == expected


def test_each_epoch_says_how_the_run_stands(caplog, monkeypatch):
    best = BestWeights()
    best.set_model(small_model())
    line = EpochLine(best)
    line.set_params({"epochs": 4})
    times = iter([100.0, 110.0, 120.0, 130.0])
    monkeypatch.setattr("time.monotonic", lambda: next(times))
    with caplog.at_level(logging.INFO, "t2t_keras"):
        line.on_train_begin()
        for epoch, accuracy in enumerate((0.5, 0.75, 0.625, 0.6)):
            logs = {"val_accuracy": accuracy, "val_loss": 1.0}
            best.on_epoch_end(epoch, logs)
            line.on_epoch_end(epoch, logs)
    assert caplog.messages == [
        "epoch 1 of 4: validation accuracy 0.5000, loss 1.0000; best accuracy: epoch 1",
        "epoch 2 of 4: validation accuracy 0.7500, loss 1.0000; best accuracy: epoch 2; 20 s left",
        "epoch 3 of 4: validation accuracy 0.6250, loss 1.0000; best accuracy: epoch 2; 10 s left",
        "epoch 4 of 4: validation accuracy 0.6000, loss 1.0000; best accuracy: epoch 2",
    ]
