"""Pixels -> what a model takes, inside a graph."""

import tensorflow as tf

from t2t_keras.images.constants import IMAGENET_MEAN, IMAGENET_STD

Color = tuple[float, float, float]


def normalize(images: tf.Tensor, mean: Color = IMAGENET_MEAN, std: Color = IMAGENET_STD):
    """`images.preprocess_input` in TensorFlow, whatever Keras' backend is.

    Args:
        images: (..., W, 3) RGB in 0..255, of any type.
        mean: Of each channel, in 0..1.
        std: Of each channel, in 0..1.

    Returns:
        float32 of the same shape.
    """
    # TensorFlow is slow where one side repeats every three values, and fast where it is a row.
    width = tf.shape(images)[-2]
    means, deviations = (
        tf.tile(255 * tf.convert_to_tensor(color, tf.float32), (width,)) for color in (mean, std)
    )
    rows = tf.reshape(tf.cast(images, tf.float32), (-1, 3 * width))
    normal = tf.reshape((rows - means) / deviations, tf.shape(images))
    return tf.ensure_shape(normal, images.shape)
