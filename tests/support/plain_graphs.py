"""TensorFlow runs graphs as they were written."""

import tensorflow as tf


def leave_graphs_alone(yes: bool = True) -> None:
    """Turns the rewriting of graphs off in this process, or on again.

    It does not start TensorFlow. Functions inside datasets keep the setting from that start.
    """
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": yes})
