"""Which learning rate each variable of a model has, beside the one of the classifier."""

from collections.abc import Mapping

import keras

from t2t_keras.models.structure import HEAD, NORM, block_number


def rate_factors(
    model: keras.Model, backbone_lr_ratio: float = 1.0, layer_decay: float = 1.0
) -> dict[str, float]:
    """What the learning rate of each trained variable is multiplied by; the classifier's is 1.

    The authors name three groups, stem, blocks and classifier, so that class token and final norm
    are in none and stay as they were. Here they belong to the backbone, as all that is trained but
    the classifier does. The position table and the performers' random features are never trained,
    as in the authors' models.

    Args:
        model: A model of this package.
        backbone_lr_ratio: The backbone's rate over the classifier's; above 0.
        layer_decay: Rate of a block over that of the next one, in (0, 1]. The final norm counts
            as the classifier's neighbor without a step; below the first block come, one step
            lower, stem and class token.

    Returns:
        Path of the variable -> factor, of all but those whose factor is 1.

    Raises:
        ValueError: An argument is out of range.

    Reference: official `transfer_learning.py`; arXiv:2106.08254, appendix, for the decay.
    """
    if not backbone_lr_ratio > 0:
        raise ValueError(
            "`backbone_lr_ratio` must be above 0; a backbone that stays as it is is frozen "
            f"(`freeze`). Received: backbone_lr_ratio={backbone_lr_ratio}"
        )
    if not 0 < layer_decay <= 1:
        raise ValueError(f"`layer_decay` must be in (0, 1]. Received: layer_decay={layer_decay}")
    paths = [variable.path for variable in model.trainable_variables]
    numbers = [block_number(variable.path) for variable in model.variables]
    depth = max((number for number in numbers if number is not None), default=-1) + 1
    factors = {
        path: backbone_lr_ratio * layer_decay ** _steps_below_the_norm(path, depth)
        for path in paths
        if not path.startswith(f"{HEAD}/")
    }
    return {path: factor for path, factor in factors.items() if factor != 1.0}


def _steps_below_the_norm(path: str, depth: int) -> int:
    if path.startswith(f"{NORM}/"):
        return 0
    number = block_number(path)
    return depth - (-1 if number is None else number)


class GroupedMixin:
    """Gives variables learning rates of their own, and keeps which ones do not decay.

    Keras' `MultiOptimizer` takes an optimizer for each group instead: then each clips its gradients
    by a norm of its own, counts its own steps, and has no one learning rate to show. What Keras'
    `exclude_from_weight_decay` was told is not in a saved model; `undecayed` is.

    Args:
        rate_factors: Path of a variable -> what its learning rate is multiplied by; 1 elsewhere.
        undecayed: Paths of the variables that do not decay.
    """

    def __init__(
        self,
        *args,
        rate_factors: Mapping[str, float] | None = None,
        undecayed: tuple[str, ...] = (),
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        self.rate_factors = dict(rate_factors or {})
        self.undecayed = tuple(undecayed)
        self._factors: list[float] = []

    def build(self, variables):
        if self.built:
            return
        if self.undecayed:
            self.exclude_from_weight_decay([v for v in variables if v.path in self.undecayed])
        self._factors = [self.rate_factors.get(variable.path, 1.0) for variable in variables]
        super().build(variables)

    def update_step(self, gradient, variable, learning_rate):
        factor = self._factors[self._get_variable_index(variable)]
        rate = learning_rate if factor == 1.0 else learning_rate * factor
        super().update_step(gradient, variable, rate)

    def get_config(self):
        groups = {"rate_factors": self.rate_factors, "undecayed": list(self.undecayed)}
        return {**super().get_config(), **groups}
