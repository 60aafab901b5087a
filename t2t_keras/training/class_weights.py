"""Weights for pictures of classes that are rare."""

import numpy as np
import tensorflow as tf
from sklearn.utils.class_weight import compute_class_weight


def balanced_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """(classes,) float32: the share that a class would have among equals, over the one it has.

    Args:
        labels: (N,) whole numbers in 0..classes-1.
        classes: Number of classes; one without pictures has weight 1.
    """
    weights = np.ones(classes, np.float32)
    present = np.unique(labels)
    weights[present] = compute_class_weight("balanced", classes=present, y=labels)
    return weights


def weighted(batches: tf.data.Dataset, weights: np.ndarray) -> tf.data.Dataset:
    """Batches (inputs, targets) with the weight of each of them; mixed ones have a mixed weight."""
    known = tf.constant(weights)

    def with_weights(inputs, targets):
        return inputs, targets, tf.linalg.matvec(targets, known)

    return batches.map(with_weights, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
