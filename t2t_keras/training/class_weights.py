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


def weighted(
    batches: tf.data.Dataset, weights: np.ndarray, smoothing: float = 0.0
) -> tf.data.Dataset:
    """Batches (inputs, targets) with the weight of each of them; mixed ones have a mixed weight.

    Args:
        batches: Of inputs and (B, classes) targets.
        weights: (classes,), each class' own.
        smoothing: Share of every target that is spread over all classes, in [0, 1): no class'.
    """
    known = tf.constant(weights)

    def with_weights(inputs, targets):
        plain = (targets - smoothing / len(weights)) / (1 - smoothing)
        return inputs, targets, tf.linalg.matvec(plain, known)

    return batches.map(with_weights, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
