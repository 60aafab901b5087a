"""TensorFlow's graphs, run as they were written."""

import tensorflow as tf


def leave_graphs_alone(yes: bool = True) -> None:
    """Whether TensorFlow leaves the rewriting of graphs out, in this process and from now on.

    It does not start TensorFlow. The functions inside datasets stay as that start finds them.
    """
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": yes})
