"""Labels -> what a loss compares a model's probabilities with."""

import tensorflow as tf


def soft_targets(labels: tf.Tensor, classes: int, smoothing: float = 0.0) -> tf.Tensor:
    """Makes class probabilities of labels.

    Args:
        labels: (B,) integers below `classes`.
        classes: Number of classes.
        smoothing: Share of each target that is spread evenly over all classes, in [0, 1).

    Returns:
        (B, classes) float32; each row sums to 1.
    """
    off = smoothing / classes
    return tf.one_hot(labels, classes, on_value=1.0 - smoothing + off, off_value=off)
