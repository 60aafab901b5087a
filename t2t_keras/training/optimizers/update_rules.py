"""Update rules that Keras implements with another meaning of weight decay."""

from typing import Any

import keras
from keras import ops


class _OwnDecay(keras.optimizers.Optimizer):
    """Leaves the weight decay to `update_step`; Keras shrinks the weights before it."""

    def _apply_weight_decay(self, variables: list[keras.Variable]) -> None:
        pass

    def _decays(self, variable: keras.Variable) -> bool:
        return bool(self.weight_decay) and self._use_weight_decay(variable)


class TorchAdamW(_OwnDecay):
    """AdamW with each variable's own learning rate in its decay, and epsilon as torch has it.

    Keras adds epsilon to a root whose bias is not corrected: as if it were 32 times as large in the
    first step.

    Reference: `torch.optim.AdamW`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        **kwargs: Any,
    ):
        super().__init__(learning_rate, **kwargs)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self.means, self.squares = self.add_optimizer_variables(variables, ["mean", "square"])

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        mean, square = self.means[index], self.squares[index]
        gradient = ops.cast(gradient, variable.dtype)
        self.assign_add(mean, (gradient - mean) * (1 - self.beta_1))
        self.assign_add(square, (ops.square(gradient) - square) * (1 - self.beta_2))
        count = ops.cast(self.iterations + 1, variable.dtype)
        root = ops.sqrt(square / (1 - ops.power(self.beta_2, count)))
        step = mean / (1 - ops.power(self.beta_1, count)) / (root + self.epsilon)
        if self._decays(variable):
            step = self.decayed_step(step, variable)
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * step)

    def decayed_step(self, step: Any, variable: keras.Variable) -> Any:
        """Adam's step with the weight decay."""
        return step + self.weight_decay * variable

    def get_config(self) -> dict[str, Any]:
        betas = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        return {**super().get_config(), **betas}


class TorchSGD(_OwnDecay):
    """Gradient descent with momentum and weight decay as torch has them.

    The decay is an L2 term: `weight_decay * variable` is added to the gradient before the momentum.
    Keras shrinks the variable by `learning_rate * weight_decay` separately, which at a momentum of
    0.9 is a tenth as strong; and its momentum keeps the learning rates of past steps.

    Reference: `torch.optim.SGD`; with Nesterov's momentum it is timm 0.3.4's "sgd".
    """

    def __init__(
        self, learning_rate: Any = 0.01, momentum: float = 0.9, nesterov: bool = True, **kwargs: Any
    ):
        super().__init__(learning_rate, **kwargs)
        self.momentum = momentum
        self.nesterov = nesterov

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self.accumulated = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        accumulated = self.accumulated[self._get_variable_index(variable)]
        gradient = ops.cast(gradient, variable.dtype)
        if self._decays(variable):
            gradient = gradient + self.weight_decay * variable
        self.assign(accumulated, self.momentum * accumulated + gradient)
        step = gradient + self.momentum * accumulated if self.nesterov else accumulated
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * step)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}


class PaperLamb(TorchAdamW):
    """LAMB: Adam's step plus weight decay, scaled to the norm of the variable.

    Keras' LAMB decays outside the step, so the decay does not count in its norm, and scales every
    step; here, as in NVIDIA's, the steps of variables without decay stay Adam's. NVIDIA's also
    clips all gradients to a norm of 1 first: give `clip_grad=1.0` for that.

    Reference: arXiv:1904.00962, algorithm 2; apex `FusedLAMB` (timm 0.3.4's "fusedlamb").
    """

    def __init__(self, learning_rate: Any = 0.001, *, epsilon: float = 1e-6, **kwargs: Any):
        super().__init__(learning_rate, epsilon=epsilon, **kwargs)

    def decayed_step(self, step: Any, variable: keras.Variable) -> Any:
        step = super().decayed_step(step, variable)
        return step * _ratio(variable, step)


def _ratio(variable: keras.Variable, step: Any) -> Any:
    """The variable's norm over the step's; 1 where either is 0."""
    lengths = [ops.sqrt(ops.sum(ops.square(values))) for values in (variable, step)]
    both = ops.logical_and(lengths[0] > 0, lengths[1] > 0)
    return ops.where(both, lengths[0] / ops.where(both, lengths[1], 1.0), 1.0)
