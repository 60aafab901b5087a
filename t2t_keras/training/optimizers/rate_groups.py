"""Groups of variables: their learning rates relative to the classifier's, and their decay."""

import re
from collections.abc import Mapping
from typing import Any

import keras

from t2t_keras.errors import check
from t2t_keras.models.structure import (
    CLASS_TOKEN,
    CONVOLUTIONS,
    NORM,
    POSITION_TABLE,
    PROJECT,
    T2T_BLOCKS,
    block_number,
)

_BELOW_BLOCKS = (*T2T_BLOCKS, *CONVOLUTIONS, PROJECT, CLASS_TOKEN, POSITION_TABLE)
_NEVER_DECAYED = ("bias", CLASS_TOKEN, POSITION_TABLE)
_GHOST_FACTOR = re.compile(r"\w+_scale|scale\d")


def undecayed_variables(model: keras.Model) -> list[keras.Variable]:
    """Returns the trainable variables without weight decay: biases, norms and the class token.

    The factors of a ghost block do decay: vectors here, they are convolutions in the authors' code,
    whose rule depends on an array's shape.

    Args:
        model: Any built Keras model.

    Reference: timm 0.3.4, `optim_factory.add_weight_decay`; official `T2T_ViT.no_weight_decay`.
    """
    return [
        variable
        for variable in model.trainable_variables
        if (len(variable.shape) <= 1 and not _GHOST_FACTOR.fullmatch(variable.name))
        or variable.name in _NEVER_DECAYED
    ]


def rate_factors(
    model: keras.Model, backbone_lr_ratio: float = 1.0, layer_decay: float = 1.0
) -> dict[str, float]:
    """Returns path -> factor of each trained variable's learning rate; the classifier's is 1.

    The layers of a T2T-ViT below its classifier are the backbone, and everything on top of them
    has the factor 1. The authors name three groups, stem, blocks and classifier, so their class
    token and final norm are in none and are not trained; here both belong to the backbone. The
    position table and the performers' random features are never trained, as in the authors' models.
    With `layer_decay` the final norm has the rate of the last block's successor; stem and class
    token come one step below the first block. Factors of 1 are left out.

    Reference: official `transfer_learning.py`; arXiv:2106.08254, appendix, for the decay.
    """
    expected = "above 0; freeze a backbone that is not to be trained"
    check(backbone_lr_ratio > 0, "backbone_lr_ratio", backbone_lr_ratio, expected)
    check(0 < layer_decay <= 1, "layer_decay", layer_decay, "in (0, 1]")
    numbers = [block_number(variable.path) for variable in model.variables]
    depth = max((number for number in numbers if number is not None), default=-1) + 1
    factors = {}
    for path in (variable.path for variable in model.trainable_variables):
        steps = _steps_below_the_norm(path, depth)
        if steps is not None:
            factors[path] = backbone_lr_ratio * layer_decay**steps
    return {path: factor for path, factor in factors.items() if factor != 1.0}


def _steps_below_the_norm(path: str, depth: int) -> int | None:
    """Number of decays of a variable's rate, 0 for the final norm; None outside a backbone."""
    number, layer = block_number(path), path.partition("/")[0]
    if number is not None:
        return depth - number
    if layer in _BELOW_BLOCKS:
        return depth + 1
    return 0 if layer == NORM else None


class GroupedMixin(keras.optimizers.Optimizer):
    """Gives variables learning rates of their own, and remembers which ones do not decay.

    Keras' `MultiOptimizer` has an optimizer for each group instead: each of them clips its
    gradients by its own norm and counts its own steps, and there is no one learning rate to show.
    A saved model keeps `undecayed`, but not Keras' own `exclude_from_weight_decay`. Both arguments
    name variables by their paths.
    """

    def __init__(
        self,
        *args: Any,
        rate_factors: Mapping[str, float] | None = None,
        undecayed: tuple[str, ...] = (),
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self.rate_factors = dict(rate_factors or {})
        self.undecayed = tuple(undecayed)
        self._factors: list[float] = []

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        if self.undecayed:
            self.exclude_from_weight_decay([v for v in variables if v.path in self.undecayed])
        self._factors = [self.rate_factors.get(variable.path, 1.0) for variable in variables]
        super().build(variables)

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        factor = self._factors[self._get_variable_index(variable)]
        rate = learning_rate if factor == 1.0 else learning_rate * factor
        super().update_step(gradient, variable, rate)

    def get_config(self) -> dict[str, Any]:
        groups = {"rate_factors": self.rate_factors, "undecayed": list(self.undecayed)}
        return {**super().get_config(), **groups}
