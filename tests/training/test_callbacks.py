import keras
import numpy as np
import pytest

from t2t_keras.errors import TrainingError
from t2t_keras.training.callbacks import BestWeights, StopAtNonFinite
from t2t_keras.training.standing import Standing


def small_model():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_run_ends_where_only_the_validation_loss_is_no_number(bad):
    standing = Standing(steps_per_epoch=4, epochs=5, step=12, history=[{}, {}])
    watch = StopAtNonFinite(standing, lambda epoch, step: f"Asked for {epoch}, {step}.")
    with pytest.raises(TrainingError, match="validation loss became .* in epoch 3. Asked for 2, 3"):
        watch.on_epoch_end(2, {"loss": 0.5, "val_loss": bad, "val_accuracy": 0.9})


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
