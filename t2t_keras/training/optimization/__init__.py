"""Optimizers, their groups and schedules, averaged weights, and training in parts."""

from t2t_keras.training.optimization.accumulation import accumulating, check_parts
from t2t_keras.training.optimization.averaging import averaged_weights
from t2t_keras.training.optimization.optimizer import (
    build_optimizer,
    transfer_optimizer,
    undecayed_variables,
)
from t2t_keras.training.optimization.schedule import EpochRates, PerEpoch

__all__ = [
    "EpochRates",
    "PerEpoch",
    "accumulating",
    "averaged_weights",
    "build_optimizer",
    "check_parts",
    "transfer_optimizer",
    "undecayed_variables",
]
