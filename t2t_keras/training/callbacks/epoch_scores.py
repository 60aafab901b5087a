"""What an epoch's line says beside the scores of training: the rate, and the average's scores."""

import keras

from t2t_keras.training.devices import Batches
from t2t_keras.training.optimization import EpochRates, averaged_weights


class LogRate(keras.callbacks.Callback):
    """Puts the learning rate of each epoch into its logs; stands before those that write them."""

    def __init__(self, rates: EpochRates):
        super().__init__()
        self.rates = rates

    def on_epoch_end(self, epoch, logs=None):
        logs["learning_rate"] = self.rates.at(epoch)


class AveragedScores(keras.callbacks.Callback):
    """Measures the weights' average too: puts `val_ema_loss` and so on into each epoch's logs.

    Args:
        validation: What `fit` measures the weights themselves on.
    """

    def __init__(self, validation: Batches):
        super().__init__()
        self.validation = validation

    def on_epoch_end(self, epoch, logs=None):
        with averaged_weights(self.model):
            scores = self.model.evaluate(self.validation, verbose=0, return_dict=True)
        logs.update({f"val_ema_{name}": value for name, value in scores.items()})
