"""The authors' learning rate: set once per epoch, with warm-up, cosine, restarts, cool-down."""

import dataclasses
import math
from typing import Any

import keras
from keras import ops

from t2t_keras.training.config import TrainConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpochSchedule:
    """The learning rate of every epoch.

    It rises linearly from `warmup_lr` over the first `warmup_epochs`, then follows a cosine from
    `lr` to `min_lr` that is counted from epoch 0, so the warm-up is not a prefix. `cycle_limit`
    cosines come one after the other, each with a restart; `cooldown_epochs` at `min_lr` follow.

    Args:
        lr: Peak rate, from which the first cosine starts at epoch 0.
        min_lr: Rate at the end of the first cosine, and of the cool-down.
        warmup_lr: Rate of epoch 0 if there is a warm-up.
        epochs: Length of the first cosine; at least 1.
        warmup_epochs: Epochs of warm-up; at least 0.
        cooldown_epochs: Epochs after the last cosine; at least 0.
        cycle_mul: Length of each cosine relative to the one before it; at least 1.
        cycle_limit: Number of cosines; at least 1.
        cycle_decay: Rates of each cosine, `min_lr` too, relative to the one before it.

    Reference: timm 0.3.4, `CosineLRScheduler` as its `create_scheduler` calls it (there
    `lr_cycle_mul`, `lr_cycle_limit` and `decay_rate`). It finds an epoch's cosine by a rounded
    logarithm, and so starts some of them (the sixth where `cycle_mul=3`) an epoch too late.
    """

    lr: float
    min_lr: float
    warmup_lr: float
    epochs: int
    warmup_epochs: int
    cooldown_epochs: int
    cycle_mul: float = 1.0
    cycle_limit: int = 1
    cycle_decay: float = 0.1

    @classmethod
    def of(cls, config: TrainConfig) -> "EpochSchedule":
        """Returns the schedule of a run."""
        return cls(
            lr=config.lr,
            min_lr=config.min_lr,
            warmup_lr=config.warmup_lr,
            epochs=config.epochs,
            warmup_epochs=config.warmup_epochs,
            cooldown_epochs=config.cooldown_epochs,
            cycle_mul=config.lr_cycle_mul,
            cycle_limit=config.lr_cycle_limit,
            cycle_decay=config.lr_cycle_decay,
        )

    @property
    def total_epochs(self) -> int:
        cosines = sum(self.cycle_mul**cycle for cycle in range(self.cycle_limit))
        return math.floor(self.epochs * cosines) + self.cooldown_epochs

    def rates(self) -> tuple[float, ...]:
        """Returns the rate of every epoch."""
        return tuple(map(self.at, range(self.total_epochs)))

    def at(self, epoch: int) -> float:
        """Returns the rate of an epoch, counted from 0."""
        if epoch < self.warmup_epochs:
            return self.warmup_lr + epoch * (self.lr - self.warmup_lr) / self.warmup_epochs
        start, length = 0.0, float(self.epochs)
        for cycle in range(self.cycle_limit):
            if epoch < start + length:
                lowest, highest = (
                    rate * self.cycle_decay**cycle for rate in (self.min_lr, self.lr)
                )
                cosine = 0.5 * (1 + math.cos(math.pi * (epoch - start) / length))
                return lowest + (highest - lowest) * cosine
            start, length = start + length, length * self.cycle_mul
        return self.min_lr


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
        if not rates:
            raise ValueError(f"`rates` must hold a rate for each epoch. Received: rates={rates}")
        if steps_per_epoch < 1:
            raise ValueError(
                f"`steps_per_epoch` must be at least 1. Received: steps_per_epoch={steps_per_epoch}"
            )
        self.rates = tuple(rates)
        self.steps_per_epoch = steps_per_epoch

    def __call__(self, step: Any) -> Any:
        epoch = ops.floor_divide(ops.convert_to_tensor(step), self.steps_per_epoch)
        last = ops.minimum(epoch, len(self.rates) - 1)
        return ops.take(ops.convert_to_tensor(self.rates, "float32"), last)

    def get_config(self) -> dict[str, Any]:
        return {"rates": list(self.rates), "steps_per_epoch": self.steps_per_epoch}
