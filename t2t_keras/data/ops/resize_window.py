"""Resizes windows of images exactly as Pillow does, in less time than TensorFlow's op takes.

XLA compiles it once for each size it meets. There are few: what is resized is put into the corner
of an image of a round size. Small targets and large windows keep TensorFlow's op, as do evaluation
and exported models, whose images are of any size.

Reference: Pillow 12, `Resample.c`, for 8 bits a channel.
"""

import functools
from collections.abc import Callable

import tensorflow as tf

from t2t_keras.data.ops.graph import compiled
from t2t_keras.images.resize import Size

# Pixels; sides are multiples of it. With half of that an image takes 4% less time here, and XLA,
# which has three times as much to compile, 4 s more.
_ROUND = 128
_LEAST = 128  # pixels of a side to come out; for fewer TensorFlow's op is quicker
_MOST_TAPS = 10  # of a pixel; of more XLA makes loops, and takes twice as long as TensorFlow
_BITS = 22  # of a weight after the point


def is_quick(window: tf.Tensor, target: Size) -> tf.Tensor:
    """Whether `resize_window` of an (h, w, 3) window is quicker than TensorFlow's op; () bool."""
    if min(target) < _LEAST:
        return tf.constant(False)
    limits = [_MOST_TAPS * side // 4 // _ROUND * _ROUND for side in target]
    return tf.reduce_all(tf.shape(window)[:2] <= limits)


def resize_window(window: tf.Tensor, target: Size, bicubic: tf.Tensor) -> tf.Tensor:
    """Resizes an image, antialiased where it becomes smaller: columns first, then rows.

    Args:
        window: (h, w, 3) uint8, of at least one pixel.
        target: (height, width) to come out.
        bicubic: () bool, whether the filter is bicubic, not bilinear.

    Returns:
        (height, width, 3) uint8.
    """
    rows, columns, _ = tf.unstack(tf.shape(window))
    # Of two axes: here XLA takes three times as long as TensorFlow, of three it is the other way.
    turned = tf.transpose(_padded(tf.reshape(window, (rows, -1))))
    turned = _padded(tf.reshape(turned, (columns, -1)))

    def scaled(weight, reach):
        across = _scaler(weight, reach, target[1])(turned, columns)
        lines = tf.transpose(tf.reshape(across, (3 * target[1], -1)))
        return _scaler(weight, reach, target[0])(lines, rows)

    # Not XLA's condition, which copies the pixels into its branches.
    lines = tf.cond(bicubic, lambda: scaled(_cubic, 2), lambda: scaled(_linear, 1))
    return tf.reshape(lines, (*target, 3))


def _padded(lines: tf.Tensor) -> tf.Tensor:
    """(n, m) values with lines below them up to a round number."""
    count, length = tf.unstack(tf.shape(lines))
    spare = tf.math.floormod(-count, _ROUND)
    return tf.concat([lines, tf.zeros((spare, length), tf.uint8)], 0)


def _linear(distance: tf.Tensor) -> tf.Tensor:
    return tf.maximum(1.0 - distance, 0.0)


def _cubic(distance: tf.Tensor) -> tf.Tensor:
    near = (1.5 * distance - 2.5) * distance * distance + 1.0
    far = ((-0.5 * distance + 2.5) * distance - 4.0) * distance + 2.0
    return tf.where(distance < 1.0, near, tf.where(distance < 2.0, far, 0.0))


@functools.cache
def _scaler(weight: Callable[[tf.Tensor], tf.Tensor], reach: int, size: int) -> Callable:
    """Scales the first of the lines it is given to `size` lines.

    Args:
        weight: Filter: distance in lines -> weight.
        reach: Distance from which on the weight is 0.
        size: Lines to come out.
    """

    @compiled(input_signature=[tf.TensorSpec((None, None), tf.uint8), tf.TensorSpec((), tf.int32)])
    def scale(lines, count):
        places, weights = _taps(weight, reach, size, count, tf.shape(lines)[0])
        products = tf.cast(tf.gather(lines, places), tf.int32) * weights[..., None]
        levels = tf.bitwise.right_shift(tf.reduce_sum(products, 0) + 2 ** (_BITS - 1), _BITS)
        return tf.cast(tf.clip_by_value(levels, 0, 255), tf.uint8)

    return scale


def _taps(weight, reach, size, count, most):
    """What each of `size` lines is made of, of `count`: places and weights, (taps, size) int32.

    In whole numbers as far as that goes. XLA computes a number once for each use and rounds it not
    always alike: places would not belong to their weights.
    """
    centers = (2 * tf.range(size) + 1) * count  # over 2 * size: in lines
    widest = tf.maximum(count, size)  # over size: the lines that the filter calls 1
    first = (centers + size - 2 * reach * widest) // (2 * size)
    # As many as `most` lines need, which XLA knows beforehand.
    taps = -(-2 * reach * tf.maximum(most, size) // size)
    places = tf.maximum(first, 0) + tf.range(taps)[:, None]
    weights = weight(tf.abs((2 * places + 1) * size - centers) / (2 * widest))
    weights = tf.where(places < count, weights, 0.0)
    shares = weights / tf.reduce_sum(weights, 0)
    return tf.minimum(places, count - 1), tf.cast(tf.round(shares * 2**_BITS), tf.int32)
