"""The optimizers by name, with learning rates by groups and the authors' rule of weight decay."""

import keras

from t2t_keras.errors import check
from t2t_keras.training.optimizers.averaging import EmaMixin
from t2t_keras.training.optimizers.gradients import LossScale, SummedMixin
from t2t_keras.training.optimizers.rate_groups import (
    GroupedMixin,
    rate_factors,
    undecayed_variables,
)
from t2t_keras.training.optimizers.update_rules import PaperLamb, TorchAdamW, TorchSGD


@keras.saving.register_keras_serializable(package="t2t_keras")
class AdamW(GroupedMixin, SummedMixin, EmaMixin, TorchAdamW):
    """torch's AdamW with groups, `clip_grad` and `ema_decay`."""


@keras.saving.register_keras_serializable(package="t2t_keras")
class SGD(GroupedMixin, SummedMixin, EmaMixin, TorchSGD):
    """torch's SGD with groups, `clip_grad` and `ema_decay`."""


@keras.saving.register_keras_serializable(package="t2t_keras")
class Lamb(GroupedMixin, SummedMixin, EmaMixin, PaperLamb):
    """The paper's LAMB with groups, `clip_grad` and `ema_decay`."""


_MAKERS = {"adamw": AdamW, "sgd": SGD, "lamb": Lamb}


def build_optimizer(
    model: keras.Model,
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
    weight_decay: float,
    name: str = "adamw",
    *,
    ema_decay: float = 0.0,
    clip_grad: float | None = None,
    backbone_lr_ratio: float = 1.0,
    layer_decay: float = 1.0,
    decay_all: bool = False,
    nesterov: bool = True,
) -> keras.optimizers.Optimizer:
    """Returns a built optimizer, with loss scaling if the model computes in float16.

    It is ready for `model.compile`, trains under a `MirroredStrategy` if it was made in its scope,
    and is saved with the model, groups included.

    The authors' optimizer for transfer is `build_optimizer(model, 0.05, 5e-4, "sgd",
    backbone_lr_ratio=0.01, decay_all=True, nesterov=False)`, for 64 images a batch and with a
    cosine over 60 epochs. AdamW with `layer_decay=0.75` is the other choice.

    Args:
        model: The built Keras model to train, with its initial weights and with everything frozen
            that is not to be trained: a model of this package, one with your own layers on top of
            it, or any other.
        learning_rate: A rate or a schedule over optimizer steps.
        weight_decay: For "adamw" the fraction of the learning rate by which a decayed weight
            shrinks each step, for "sgd" the factor of an L2 term in the gradient, for "lamb" the
            factor of the weight in the step.
        name: "adamw" as the authors use it, "sgd" or "lamb".
        ema_decay: Decay of the weights' moving average, in [0, 1); 0 keeps none.
        clip_grad: Highest norm over all gradients; None clips nothing.
        backbone_lr_ratio: Learning rate of the T2T-ViT relative to that of the layers on top of
            it; above 0.
        layer_decay: Learning rate of a block relative to that of the next one, in (0, 1].
        decay_all: True if biases, norms and the class token decay too.
        nesterov: True for Nesterov momentum in "sgd"; the others have none.

    Raises:
        ValueError: No optimizer has that name, or a setting of the groups is out of range.

    Reference: official `transfer_learning.py`.
    """
    check(name in _MAKERS, "name", name, f"one of {', '.join(_MAKERS)}")
    optimizer = _MAKERS[name](
        learning_rate,
        weight_decay=weight_decay,
        ema_decay=ema_decay,
        clip_grad=clip_grad,
        rate_factors=rate_factors(model, backbone_lr_ratio, layer_decay),
        undecayed=() if decay_all else tuple(v.path for v in undecayed_variables(model)),
        **({"nesterov": nesterov} if name == "sgd" else {}),
    )
    if model.dtype_policy.name == "mixed_float16":
        optimizer = LossScale(optimizer)
    optimizer.build(model.trainable_variables)
    return optimizer
