"""A moving average of the weights, kept by the optimizer with its other variables."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from t2t_keras.errors import check


class EmaMixin(keras.optimizers.Optimizer):
    """Moves an average of the trained variables toward them after every step.

    It starts from the weights at the time the optimizer is built: before the first step, and after
    any are loaded. The model keeps its own weights; `ema_weights` lends it the average. Keras'
    `use_ema` starts after the first step and replaces the weights at the end of `fit`. `ema_decay`
    is the fraction of the average that a step keeps; 0 keeps no average.

    Reference: timm 0.3.4, `ModelEma`.
    """

    def __init__(self, *args: Any, ema_decay: float = 0.0, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.ema_decay = ema_decay
        self.averages: list[keras.Variable] = []

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        if self.ema_decay:
            self.averages = [self._average_of(variable) for variable in variables]

    def _average_of(self, variable: keras.Variable) -> keras.Variable:
        def start(shape: tuple[int, ...], dtype: str) -> Any:
            return ops.cast(ops.copy(variable), dtype)  # JAX would share the array

        return self.add_variable_from_reference(variable, name="average", initializer=start)

    def apply(
        self, grads: list[Any], trainable_variables: list[keras.Variable] | None = None
    ) -> None:
        super().apply(grads, trainable_variables)
        if self.averages:
            for variable, average in zip(self._trainable_variables, self.averages, strict=True):
                # Not d * average + (1 - d) * variable: rounded, those factors do not add up to 1.
                average.assign_add((variable - average) * (1 - self.ema_decay))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "ema_decay": self.ema_decay}


@contextlib.contextmanager
def ema_weights(model: keras.Model) -> Iterator[None]:
    """Lends a model the average of its weights; afterwards it has its own again, bit for bit.

    Args:
        model: A model compiled with an optimizer of `build_optimizer` that has an `ema_decay`.

    Raises:
        ValueError: The model's optimizer keeps no average.
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    averages = getattr(optimizer, "averages", [])
    expected = "one that `build_optimizer` made with an `ema_decay` above 0"
    check(len(averages) > 0, "optimizer", optimizer, expected)
    own = [ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    _assign(model, averages)
    try:
        yield
    finally:
        _assign(model, own)


def _assign(model: keras.Model, values: list) -> None:
    for variable, value in zip(model.trainable_variables, values, strict=True):
        variable.assign(ops.convert_to_numpy(value))
