"""The update rules that Keras has with another meaning of weight decay."""

import keras
from keras import ops


class _OwnDecay(keras.optimizers.Optimizer):
    """Leaves the weight decay to `update_step`; Keras shrinks the weights before it."""

    def _apply_weight_decay(self, variables):
        pass

    def _decays(self, variable) -> bool:
        return bool(self.weight_decay) and self._use_weight_decay(variable)


class StepwiseAdamW(_OwnDecay, keras.optimizers.AdamW):
    """Keras' AdamW, whose weights shrink by the learning rate that their own step has."""

    def update_step(self, gradient, variable, learning_rate):
        if self._decays(variable):
            rate = ops.cast(learning_rate, variable.dtype)
            self.assign_sub(variable, variable * self.weight_decay * rate)
        super().update_step(gradient, variable, learning_rate)


class TorchSGD(_OwnDecay):
    """Gradient descent with momentum and weight decay as torch has them.

    The decay is an L2 term: `weight_decay * variable` joins the gradient before the momentum.
    Keras' shrinks the variable by `learning_rate * weight_decay` beside it, at a momentum of 0.9 a
    tenth as strong; and its momentum keeps the learning rate of the steps it was gathered in.

    Args:
        momentum: Fraction of the gathered gradients that stays in a step, in [0, 1).
        nesterov: Whether a step looks ahead, as timm's does; the authors' transfer does not.

    Reference: `torch.optim.SGD`; with Nesterov's momentum it is timm 0.3.4's "sgd".
    """

    def __init__(self, learning_rate=0.01, momentum: float = 0.9, nesterov: bool = True, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.momentum = momentum
        self.nesterov = nesterov

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.gathered = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient, variable, learning_rate):
        gathered = self.gathered[self._get_variable_index(variable)]
        gradient = ops.cast(gradient, variable.dtype)
        if self._decays(variable):
            gradient = gradient + self.weight_decay * variable
        self.assign(gathered, self.momentum * gathered + gradient)
        step = gradient + self.momentum * gathered if self.nesterov else gathered
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * step)

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}


class PaperLamb(_OwnDecay):
    """LAMB: Adam's step with its weight decay, as long as the variable is.

    Keras' LAMB decays beside the step, so that the decay's length does not count, and stretches
    every step; here, as in NVIDIA's, those of variables without decay stay Adam's. NVIDIA's also
    clips all gradients to a norm of 1 first: give `clip_grad=1.0` for that.

    Args:
        beta_1: Fraction of the mean gradient that stays in a step.
        beta_2: Fraction of the mean squared gradient that stays in a step.
        epsilon: Added to the root of the mean square.

    Reference: arXiv:1904.00962, algorithm 2; apex `FusedLAMB` (timm 0.3.4's "fusedlamb").
    """

    def __init__(
        self,
        learning_rate=0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        **kwargs,
    ):
        super().__init__(learning_rate, **kwargs)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.means, self.squares = self.add_optimizer_variables(variables, ["mean", "square"])

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        mean, square = self.means[index], self.squares[index]
        gradient = ops.cast(gradient, variable.dtype)
        self.assign_add(mean, (gradient - mean) * (1 - self.beta_1))
        self.assign_add(square, (ops.square(gradient) - square) * (1 - self.beta_2))
        count = ops.cast(self.iterations + 1, variable.dtype)
        root = ops.sqrt(square / (1 - ops.power(self.beta_2, count)))
        step = mean / (1 - ops.power(self.beta_1, count)) / (root + self.epsilon)
        if self._decays(variable):
            step = step + self.weight_decay * variable
            step = step * _ratio(variable, step)
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * step)

    def get_config(self):
        betas = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        return {**super().get_config(), **betas}


def _ratio(variable, step):
    """How many times as long as the step the variable is; 1 where either has no length."""
    lengths = [ops.sqrt(ops.sum(ops.square(values))) for values in (variable, step)]
    both = ops.logical_and(lengths[0] > 0, lengths[1] > 0)
    return ops.where(both, lengths[0] / ops.where(both, lengths[1], 1.0), 1.0)
