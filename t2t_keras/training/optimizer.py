"""The authors' optimizer, with their rule of what decays."""

import keras

from t2t_keras.weights.mapping import official_entries

_NEVER_DECAYED = ("class_token",)


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
) -> keras.optimizers.Optimizer:
    """AdamW as the authors trained with.

    Keras keeps the exclusions out of what it saves, so a restored optimizer needs them again.

    Args:
        model: The model it will train, of this package.
        learning_rate: A rate or a schedule.
        weight_decay: Share of the learning rate by which a decayed weight shrinks each step.
    """
    optimizer = keras.optimizers.AdamW(
        learning_rate, weight_decay=weight_decay, beta_1=0.9, beta_2=0.999, epsilon=1e-8
    )
    optimizer.exclude_from_weight_decay(var_list=undecayed_variables(model))
    return optimizer
