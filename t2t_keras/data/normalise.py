"""Pixels -> what a model takes, inside a graph."""

import tensorflow as tf

from t2t_keras.images.constants import IMAGENET_MEAN, IMAGENET_STD

Colour = tuple[float, float, float]


def normalise(images: tf.Tensor, mean: Colour = IMAGENET_MEAN, std: Colour = IMAGENET_STD):
    """`images.preprocess_input` in TensorFlow, whatever Keras' backend is.

    Args:
        images: (..., 3) RGB in 0..255, of any type.
        mean: Of each channel, in 0..1.
        std: Of each channel, in 0..1.

    Returns:
        float32 of the same shape.
    """
    return (tf.cast(images, tf.float32) / 255.0 - mean) / std
