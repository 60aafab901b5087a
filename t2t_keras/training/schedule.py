"""The authors' learning rate: set once per epoch, with warm-up, cosine, restarts, cool-down."""

import math
from typing import Any

import keras
from keras import ops

from t2t_keras.errors import check
from t2t_keras.training.config import TrainConfig


def learning_rates(config: TrainConfig) -> tuple[float, ...]:
    """The rate of every epoch of a run.

    It rises linearly from `warmup_lr` over the first `warmup_epochs`, then follows a cosine from
    `lr` to `min_lr` that is counted from epoch 0, so the warm-up is not a prefix.
    `lr_cycle_limit` cosines come one after the other, each with a restart; `cooldown_epochs` at
    `min_lr` follow.

    Reference: timm 0.3.4, `CosineLRScheduler` as its `create_scheduler` calls it. It finds an
    epoch's cosine by a rounded logarithm, and so starts some of them (the sixth where
    `lr_cycle_mul=3`) an epoch too late.
    """
    cosines = sum(config.lr_cycle_mul**cycle for cycle in range(config.lr_cycle_limit))
    epochs = math.floor(config.epochs * cosines) + config.cooldown_epochs
    return tuple(_rate(config, epoch) for epoch in range(epochs))


def _rate(config: TrainConfig, epoch: int) -> float:
    if epoch < config.warmup_epochs:
        rise = epoch * (config.lr - config.warmup_lr) / config.warmup_epochs
        return config.warmup_lr + rise
    start, length = 0.0, float(config.epochs)
    for cycle in range(config.lr_cycle_limit):
        if epoch < start + length:
            decay = config.lr_cycle_decay**cycle
            lowest, highest = config.min_lr * decay, config.lr * decay
            cosine = 0.5 * (1 + math.cos(math.pi * (epoch - start) / length))
            return lowest + (highest - lowest) * cosine
        start, length = start + length, length * config.lr_cycle_mul
    return config.min_lr


@keras.saving.register_keras_serializable(package="t2t_keras")
class PerEpoch(keras.optimizers.schedules.LearningRateSchedule):
    """A rate for every epoch, as a schedule over steps.

    It counts the steps that an optimizer has taken. Steps that float16's loss scale skips do not
    count, so after N of them every rate changes N batches late.

    Args:
        rates: The rate of each epoch; the last one is kept afterwards.
        steps_per_epoch: Optimizer steps in an epoch; at least 1.

    Raises:
        ValueError: `rates` is empty or `steps_per_epoch` below 1.
    """

    def __init__(self, rates: tuple[float, ...], steps_per_epoch: int):
        super().__init__()
        check(len(rates) > 0, "rates", rates, "a rate for each epoch")
        check(steps_per_epoch >= 1, "steps_per_epoch", steps_per_epoch, "at least 1")
        self.rates = tuple(rates)
        self.steps_per_epoch = steps_per_epoch

    def __call__(self, step: Any) -> Any:
        epoch = ops.floor_divide(ops.convert_to_tensor(step), self.steps_per_epoch)
        last = ops.minimum(epoch, len(self.rates) - 1)
        return ops.take(ops.convert_to_tensor(self.rates, "float32"), last)

    def get_config(self) -> dict[str, Any]:
        return {"rates": list(self.rates), "steps_per_epoch": self.steps_per_epoch}
