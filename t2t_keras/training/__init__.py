"""Training and evaluating a model: settings, recipes and the run itself."""

from t2t_keras.training.config import TrainConfig
from t2t_keras.training.evaluation import evaluate
from t2t_keras.training.optimization import (
    EpochRates,
    PerEpoch,
    accumulating,
    averaged_weights,
    build_optimizer,
    transfer_optimizer,
    undecayed_variables,
)
from t2t_keras.training.recipes import make_config, model_names, settings_of, variant_of
from t2t_keras.training.run import TrainResult, train
from t2t_keras.training.scores import Scores, score

__all__ = [
    "EpochRates",
    "PerEpoch",
    "Scores",
    "TrainConfig",
    "TrainResult",
    "accumulating",
    "averaged_weights",
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
