"""What happens during `fit`, and what a run keeps to go on after an end it did not choose."""

from t2t_keras.training.callbacks.best_weights import BestWeights
from t2t_keras.training.callbacks.blame import blame
from t2t_keras.training.callbacks.checkpoints import (
    Checkpoint,
    checkpoint_path,
    newest_checkpoint,
    read_checkpoint,
)
from t2t_keras.training.callbacks.early_end import EndEarly
from t2t_keras.training.callbacks.epoch_scores import AveragedScores, LogRate
from t2t_keras.training.callbacks.keep_checkpoints import KeepCheckpoints
from t2t_keras.training.callbacks.log_file import LogFile, write_log
from t2t_keras.training.callbacks.non_finite import StopAtNonFinite
from t2t_keras.training.callbacks.progress import Bar, EpochLine, Pace, StepLine
from t2t_keras.training.callbacks.signals import StopSignals
from t2t_keras.training.callbacks.standing import Standing

__all__ = [
    "AveragedScores",
    "Bar",
    "BestWeights",
    "Checkpoint",
    "EndEarly",
    "EpochLine",
    "KeepCheckpoints",
    "LogFile",
    "LogRate",
    "Pace",
    "Standing",
    "StepLine",
    "StopAtNonFinite",
    "StopSignals",
    "blame",
    "checkpoint_path",
    "newest_checkpoint",
    "read_checkpoint",
    "write_log",
]
