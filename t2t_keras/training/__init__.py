"""Training and evaluating a model: settings, recipes and the run itself."""

from t2t_keras.training.config import TrainConfig
from t2t_keras.training.evaluation import Scores, evaluate, score
from t2t_keras.training.optimizers.accumulation import accumulating
from t2t_keras.training.optimizers.averaging import ema_weights
from t2t_keras.training.optimizers.optimizer import (
    build_optimizer,
    transfer_optimizer,
    undecayed_variables,
)
from t2t_keras.training.recipes import make_config, model_names, settings_of, variant_of
from t2t_keras.training.run import TrainResult, train
from t2t_keras.training.schedule import EpochSchedule, PerEpoch

__all__ = [
    "EpochSchedule",
    "PerEpoch",
    "Scores",
    "TrainConfig",
    "TrainResult",
    "accumulating",
    "ema_weights",
    "build_optimizer",
    "evaluate",
    "make_config",
    "model_names",
    "score",
    "settings_of",
    "train",
    "transfer_optimizer",
    "undecayed_variables",
    "variant_of",
]
