"""Dropout that differs between devices.

A `MirroredStrategy` gives every device a copy of a seed, and Keras counts them up alike: all
devices would draw the same masks. The copies may differ, and stay apart once they do.
"""

import zlib

import keras
import tensorflow as tf


def decorrelate_dropout(model: keras.Model) -> None:
    """Gives every device seeds of its own, made of the first device's, which stay as they are.

    Args:
        model: Built; doing it again, or after a restore, changes nothing.
    """
    for variable in model.variables:
        if variable.path.endswith("/seed_generator_state") and isinstance(
            variable.value, tf.distribute.DistributedValues
        ):
            _spread(variable.value)


def _spread(state: tf.distribute.DistributedValues) -> None:
    first, *others = state.distribute_strategy.experimental_local_results(state)
    seed, count = (int(number) for number in first.numpy())
    for index, other in enumerate(others, 1):
        other.assign([zlib.crc32(f"{seed}/{index}".encode()), count])
