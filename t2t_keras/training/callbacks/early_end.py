"""Ends a run that gets no better."""

import logging

import keras

from t2t_keras.training.callbacks.best_weights import BestWeights
from t2t_keras.training.callbacks.standing import Standing

_log = logging.getLogger(__name__)


class EndEarly(keras.callbacks.Callback):
    """Ends a run when its best weights have not changed for some epochs.

    It keeps nothing that a checkpoint would have to hold: a run that goes on ends where one does
    that was left alone. Keras' `EarlyStopping` counts from where `fit` begins.

    Args:
        standing: Where the run stands; moved on before this callback.
        best: Knows the best epoch.
        patience: Number of epochs; 0 never ends it.
    """

    def __init__(self, standing: Standing, best: BestWeights, patience: int):
        super().__init__()
        self.standing = standing
        self.best = best
        self.patience = patience

    def on_epoch_end(self, epoch, logs=None):
        if self.look():
            self.model.stop_training = True
            _log.info("No better weights for %d epochs: the run ends early.", self.patience)

    def look(self) -> bool:
        """Ends the run where it is time, and says whether it is; also called as a run goes on."""
        if self.patience and self.best.epoch is not None:
            waited = len(self.standing.history) - 1 - self.best.epoch
            self.standing.ended = waited >= self.patience
        return self.standing.ended
