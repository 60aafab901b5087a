"""The optimizer of a run by its name, with the authors' rule of what decays."""

import keras

from t2t_keras.training.averaging import AveragedMixin
from t2t_keras.training.gradients import LossScale, SummedMixin
from t2t_keras.training.update_rules import PaperLamb, TorchSGD
from t2t_keras.weights.mapping import official_entries

_NEVER_DECAYED = ("class_token",)


@keras.saving.register_keras_serializable(package="t2t_keras")
class AdamW(SummedMixin, AveragedMixin, keras.optimizers.AdamW):
    """Keras' AdamW with `clip_grad` and `ema_decay`; its decay is torch's, beside the moments."""


@keras.saving.register_keras_serializable(package="t2t_keras")
class SGD(SummedMixin, AveragedMixin, TorchSGD):
    """torch's SGD with `clip_grad` and `ema_decay`."""


@keras.saving.register_keras_serializable(package="t2t_keras")
class Lamb(SummedMixin, AveragedMixin, PaperLamb):
    """The paper's LAMB with `clip_grad` and `ema_decay`."""


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
) -> keras.optimizers.Optimizer:
    """A built optimizer, with loss scaling where the model computes in float16.

    Keras keeps what does not decay out of what it saves, so a restored optimizer needs it again;
    restoring the values of its `variables` into one that is built here needs no more.

    Args:
        model: The model it will train, of this package, with the weights it starts from.
        learning_rate: A rate or a schedule over optimizer steps.
        weight_decay: "adamw": share of the learning rate by which a decayed weight shrinks each
            step. "sgd": factor of an L2 term in the gradient. "lamb": factor of the weight in the
            step.
        name: "adamw" as the authors trained with, "sgd" or "lamb".
        ema_decay: Of the weights' moving average, in [0, 1); 0 keeps none.
        clip_grad: Highest norm over all gradients; None clips nothing.

    Raises:
        ValueError: No optimizer has that name.
    """
    if name not in _MAKERS:
        raise ValueError(f"`name` must be one of {', '.join(_MAKERS)}. Received: name={name}")
    kind, constants = _MAKERS[name]
    optimizer = kind(
        learning_rate,
        weight_decay=weight_decay,
        ema_decay=ema_decay,
        clip_grad=clip_grad,
        **constants,
    )
    optimizer.exclude_from_weight_decay(var_list=undecayed_variables(model))
    if model.dtype_policy.name == "mixed_float16":
        optimizer = LossScale(optimizer)
    optimizer.build(model.trainable_variables)
    return optimizer
