"""Optimizers, their groups and schedules, averaged weights, and training in parts."""

from t2t_keras.training.optimizers.accumulation import accumulating, check_parts
from t2t_keras.training.optimizers.averaging import ema_weights
from t2t_keras.training.optimizers.optimizer import (
    build_optimizer,
    transfer_optimizer,
    undecayed_variables,
)

__all__ = [
    "accumulating",
    "ema_weights",
    "build_optimizer",
    "check_parts",
    "transfer_optimizer",
    "undecayed_variables",
]
