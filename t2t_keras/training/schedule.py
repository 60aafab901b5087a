"""The authors' learning rate: set once per epoch, with warm-up, cosine and cool-down."""

import dataclasses
import math

import keras
from keras import ops


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpochRates:
    """The learning rate of every epoch.

    It rises linearly from `warmup_lr` over the first `warmup_epochs`, then follows a cosine from
    `lr` to `min_lr` that is counted from epoch 0, so the warm-up is not a prefix; `cooldown_epochs`
    at `min_lr` come after `epochs`.

    Args:
        lr: Peak rate, the one the cosine starts from at epoch 0.
        min_lr: Rate the cosine ends in.
        warmup_lr: Rate of epoch 0 where there is a warm-up.
        epochs: Length of the cosine; at least 1.
        warmup_epochs: At least 0.
        cooldown_epochs: At least 0.

    Reference: timm 0.3.4, `CosineLRScheduler` as its `create_scheduler` calls it.
    """

    lr: float
    min_lr: float
    warmup_lr: float
    epochs: int
    warmup_epochs: int
    cooldown_epochs: int

    @property
    def total_epochs(self) -> int:
        return self.epochs + self.cooldown_epochs

    def at(self, epoch: int) -> float:
        """The rate of an epoch, counted from 0."""
        if epoch < self.warmup_epochs:
            return self.warmup_lr + epoch * (self.lr - self.warmup_lr) / self.warmup_epochs
        if epoch >= self.epochs:
            return self.min_lr
        cosine = 0.5 * (1 + math.cos(math.pi * epoch / self.epochs))
        return self.min_lr + (self.lr - self.min_lr) * cosine


@keras.saving.register_keras_serializable(package="t2t_keras")
class PerEpoch(keras.optimizers.schedules.LearningRateSchedule):
    """A rate for every epoch, as a schedule over steps.

    Args:
        rates: The rate of each epoch; the last one is kept afterwards.
        steps_per_epoch: Optimizer steps in an epoch; at least 1.

    Raises:
        ValueError: `rates` is empty or `steps_per_epoch` below 1.
    """

    def __init__(self, rates: tuple[float, ...], steps_per_epoch: int):
        super().__init__()
        if not rates:
            raise ValueError(f"`rates` must hold a rate for each epoch. Received: rates={rates}")
        if steps_per_epoch < 1:
            raise ValueError(
                f"`steps_per_epoch` must be at least 1. Received: steps_per_epoch={steps_per_epoch}"
            )
        self.rates = tuple(rates)
        self.steps_per_epoch = steps_per_epoch

    def __call__(self, step):
        epoch = ops.floor_divide(ops.cast(step, "int64"), self.steps_per_epoch)
        last = ops.minimum(epoch, len(self.rates) - 1)
        return ops.take(ops.convert_to_tensor(self.rates, "float32"), last)

    def get_config(self):
        return {"rates": list(self.rates), "steps_per_epoch": self.steps_per_epoch}
