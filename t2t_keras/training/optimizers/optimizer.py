"""The optimizer of a run by its name, with the authors' rule of what decays."""

import keras

from t2t_keras.training.optimizers.averaging import EmaMixin
from t2t_keras.training.optimizers.gradients import LossScale, SummedMixin
from t2t_keras.training.optimizers.rate_groups import GroupedMixin, rate_factors
from t2t_keras.training.optimizers.update_rules import PaperLamb, StepwiseAdamW, TorchSGD
from t2t_keras.weights.mapping import official_entries

_NEVER_DECAYED = ("class_token",)


@keras.saving.register_keras_serializable(package="t2t_keras")
class AdamW(GroupedMixin, SummedMixin, EmaMixin, StepwiseAdamW):
    """Keras' AdamW with groups, `clip_grad` and `ema_decay`; its decay is torch's."""


@keras.saving.register_keras_serializable(package="t2t_keras")
class SGD(GroupedMixin, SummedMixin, EmaMixin, TorchSGD):
    """torch's SGD with groups, `clip_grad` and `ema_decay`."""


@keras.saving.register_keras_serializable(package="t2t_keras")
class Lamb(GroupedMixin, SummedMixin, EmaMixin, PaperLamb):
    """The paper's LAMB with groups, `clip_grad` and `ema_decay`."""


_MAKERS = {
    "adamw": (AdamW, {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}),
    "sgd": (SGD, {"momentum": 0.9}),
    "lamb": (Lamb, {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-6}),
}


def undecayed_variables(model: keras.Model) -> list[keras.Variable]:
    """The trained variables without weight decay: biases, the norms' and the class token.

    The authors' rule goes by the shapes of their own arrays, in which a ghost block's factors,
    vectors here, are convolutions: those decay.

    Reference: timm 0.3.4, `optim_factory.add_weight_decay`; official `T2T_ViT.no_weight_decay`.
    """
    return [
        entry.variable
        for entry in official_entries(model)
        if entry.variable.trainable
        and (len(entry.official_shape) <= 1 or entry.variable.name in _NEVER_DECAYED)
    ]


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
    """A built optimizer, with loss scaling where the model computes in float16.

    It goes into `model.compile` as it is, trains under a `MirroredStrategy` where it was made in
    its scope, and is saved with the model, groups and all.

    Args:
        model: The model it will train, of this package, with the weights it starts from, and with
            what stays as it is frozen.
        learning_rate: A rate or a schedule over optimizer steps.
        weight_decay: "adamw": share of the learning rate by which a decayed weight shrinks each
            step. "sgd": factor of an L2 term in the gradient. "lamb": factor of the weight in the
            step.
        name: "adamw" as the authors trained with, "sgd" or "lamb".
        ema_decay: Of the weights' moving average, in [0, 1); 0 keeps none.
        clip_grad: Highest norm over all gradients; None clips nothing.
        backbone_lr_ratio: The backbone's learning rate over the classifier's; above 0.
        layer_decay: Learning rate of a block over that of the next one, in (0, 1].
        decay_all: Whether biases, norms and class token decay too.
        nesterov: Whether "sgd" has Nesterov's momentum; the others have none.

    Raises:
        ValueError: No optimizer has that name, or a setting of the groups is out of range.
    """
    if name not in _MAKERS:
        raise ValueError(f"`name` must be one of {', '.join(_MAKERS)}. Received: name={name}")
    kind, constants = _MAKERS[name]
    optimizer = kind(
        learning_rate,
        weight_decay=weight_decay,
        ema_decay=ema_decay,
        clip_grad=clip_grad,
        rate_factors=rate_factors(model, backbone_lr_ratio, layer_decay),
        undecayed=() if decay_all else tuple(v.path for v in undecayed_variables(model)),
        **constants,
        **({"nesterov": nesterov} if name == "sgd" else {}),
    )
    if model.dtype_policy.name == "mixed_float16":
        optimizer = LossScale(optimizer)
    optimizer.build(model.trainable_variables)
    return optimizer


def transfer_optimizer(
    model: keras.Model,
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.05,
    *,
    backbone_lr_ratio: float = 0.01,
    weight_decay: float = 5e-4,
) -> keras.optimizers.Optimizer:
    """The authors' optimizer for transfer: SGD, with a small rate for all but the classifier.

    `build_optimizer(model, 5e-4, 0.05, layer_decay=0.75)` is the other choice: AdamW with a rate
    that falls from block to block.

    Args:
        model: A model of this package with pretrained weights and a fresh classifier.
        learning_rate: The classifier's, a rate or a schedule over optimizer steps. The authors
            take 0.05 for 64 images a batch, with a cosine over 60 epochs.
        backbone_lr_ratio: The rate of everything else over it; above 0.
        weight_decay: Factor of an L2 term in the gradients of all variables, biases too.

    Raises:
        ValueError: `backbone_lr_ratio` is not above 0.

    Reference: official `transfer_learning.py`.
    """
    return build_optimizer(
        model,
        learning_rate,
        weight_decay,
        "sgd",
        backbone_lr_ratio=backbone_lr_ratio,
        decay_all=True,
        nesterov=False,
    )
