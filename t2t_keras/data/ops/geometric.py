"""Pillow's affine transforms in a graph, on one (h, w, 3) uint8 RGB image of any size.

As `Image.transform` and `Image.rotate`, border included: a place outside the image takes the
fill color, one inside is interpolated with the outermost pixels repeated, and cut, not rounded,
to a whole number. Values are mixed in float32 where Pillow has float64: none is more than a level
off, fewer than one in a hundred is, and up to one in ten where a translation gives all the same
fraction. What touches every pixel is compiled, in two steps: in one, XLA would compute the places
again for every neighbor.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from t2t_keras.data.ops.graph import compiled

_IMAGE = tf.TensorSpec((None, None, 3), tf.uint8)
_FLAG = tf.TensorSpec((), tf.bool)
_FILL = tf.TensorSpec((3,), tf.uint8)
_SHIFTS = tf.TensorSpec((None,), tf.float64)
_BORDER = 2  # pixels a side that the wider filter may reach over


def rotate(image: tf.Tensor, degrees: Any, bicubic: Any, fill: Any) -> tf.Tensor:
    """Rotates as `Image.rotate`: counter-clockwise, bilinearly where `bicubic` is false."""
    radians = tf.cast(degrees, tf.float64) * (math.pi / 180.0)
    pixels, place, *rest = _source_points(image, tf.cos(radians), tf.sin(radians))

    def mixed(mix: Callable, first: int, end: int) -> tf.Tensor:
        reach = tf.range(first, end)
        around = reach[:, None] * (tf.shape(image)[1] + 2 * _BORDER) + reach
        taps = _taps(pixels, place, around)
        return mix(taps, *rest, tf.cast(fill, tf.uint8))

    flat = tf.cond(
        tf.cast(bicubic, tf.bool),
        lambda: mixed(_cubic_on_plane, -1, 3),
        lambda: mixed(_linear_on_plane, 0, 2),
    )
    return tf.reshape(tf.transpose(flat), tf.shape(image))


def shear_x(image: tf.Tensor, factor: Any, bicubic: Any, fill: Any) -> tf.Tensor:
    """Takes row y from `factor` * (y + 1/2) pixels further right; the rest as `rotate`."""
    rows = tf.cast(tf.range(tf.shape(image)[0]), tf.float64)
    return _shifted_rows(image, tf.cast(factor, tf.float64) * (rows + 0.5), bicubic, fill)


def shear_y(image: tf.Tensor, factor: Any, bicubic: Any, fill: Any) -> tf.Tensor:
    """Takes column x from `factor` * (x + 1/2) pixels further down; the rest as `rotate`."""
    return _transpose(shear_x(_transpose(image), factor, bicubic, fill))


def translate_x(image: tf.Tensor, pixels: Any, bicubic: Any, fill: Any) -> tf.Tensor:
    """Takes everything from `pixels`, a float, further right; the rest as `rotate`."""
    shifts = tf.fill(tf.shape(image)[:1], tf.cast(pixels, tf.float64))
    return _shifted_rows(image, shifts, bicubic, fill)


def translate_y(image: tf.Tensor, pixels: Any, bicubic: Any, fill: Any) -> tf.Tensor:
    """Takes everything from `pixels`, a float, further down; the rest as `rotate`."""
    return _transpose(translate_x(_transpose(image), pixels, bicubic, fill))


def _shifted_rows(image: tf.Tensor, shifts: tf.Tensor, bicubic: Any, fill: Any) -> tf.Tensor:
    """Takes every row from its (h,) float64 shift further right."""
    return _on_rows(_shifted_pixels(image, shifts), shifts, bicubic, tf.cast(fill, tf.uint8))


# TensorFlow's own transpose takes three times as long.
@compiled(input_signature=[_IMAGE])
def _transpose(image: tf.Tensor) -> tf.Tensor:
    """Makes rows of columns."""
    return tf.transpose(image, (1, 0, 2))


@compiled(input_signature=[_IMAGE, _SHIFTS])
def _shifted_pixels(image: tf.Tensor, shifts: tf.Tensor) -> tf.Tensor:
    """Takes every row from one pixel before its shift, the outermost repeated; (h, w + 3, 3)."""
    height, width = tf.unstack(tf.shape(image)[:2])
    starts = tf.cast(tf.floor(shifts), tf.int32)[:, None]
    columns = tf.clip_by_value(starts + tf.range(-1, width + 2), 0, width - 1)
    return tf.gather(tf.reshape(image, (-1, 3)), tf.range(height)[:, None] * width + columns)


@compiled(input_signature=[_IMAGE, _SHIFTS, _FLAG, _FILL])
def _on_rows(
    pixels: tf.Tensor, shifts: tf.Tensor, bicubic: tf.Tensor, fill: tf.Tensor
) -> tf.Tensor:
    """Interpolates what `_shifted_pixels` made."""
    height, width = tf.shape(pixels)[0], tf.shape(pixels)[1] - 3
    values = tf.cast(tf.reshape(pixels, (height, -1)), tf.float32)
    taps = [values[:, 3 * start : 3 * (start + width)] for start in range(4)]
    offset = tf.cast(shifts - tf.floor(shifts), tf.float32)[:, None]
    bounds = [tf.math.ceil(bound - 0.5 - shifts) for bound in (0, tf.cast(width, tf.float64))]
    first, end = (3 * tf.cast(bound, tf.int32)[:, None] for bound in bounds)
    place = tf.range(3 * width)
    inside, colors = (first <= place) & (place < end), tf.tile(fill, [width])
    mixed = tf.cond(
        bicubic,
        lambda: _cut(_cubic(taps, offset), inside, colors),
        lambda: _cut(_linear(taps, offset), inside, colors),
    )
    return tf.reshape(mixed, (height, width, 3))


@compiled(input_signature=[_IMAGE, *[tf.TensorSpec((), tf.float64)] * 2])
def _source_points(image: tf.Tensor, cosine: tf.Tensor, sine: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Finds the point that every pixel of a turned image comes from.

    Returns the flat bordered image, a pixel a uint32 (a third of the look-ups); and, (h * w,) each,
    the place in it of the pixel before that point, how far right and down of it the point lies, in
    [0, 1), and true where the point lies in the image.
    """
    height, width = tf.unstack(tf.shape(image)[:2])
    y_end, x_end = tf.cast(height, tf.float64), tf.cast(width, tf.float64)
    y = tf.cast(tf.range(height), tf.float64)[:, None] + (0.5 - y_end / 2.0)
    x = tf.cast(tf.range(width), tf.float64) + (0.5 - x_end / 2.0)
    x_from = tf.reshape(cosine * x - sine * y + x_end / 2.0, (-1,))
    y_from = tf.reshape(sine * x + cosine * y + y_end / 2.0, (-1,))
    inside = (x_from >= 0.0) & (x_from < x_end) & (y_from >= 0.0) & (y_from < y_end)
    column, row = tf.floor(x_from - 0.5), tf.floor(y_from - 0.5)
    right, down = (
        tf.cast(x_from - 0.5 - column, tf.float32),
        tf.cast(y_from - 0.5 - row, tf.float32),
    )
    row, column = tf.cast(row, tf.int32) + _BORDER, tf.cast(column, tf.int32) + _BORDER
    place = tf.where(inside, row * (width + 2 * _BORDER) + column, 0)
    red, green, blue = tf.unstack(tf.cast(image, tf.uint32), axis=-1)
    pixels = red + green * 2**8 + blue * 2**16
    pixels = tf.concat([pixels[:1]] * _BORDER + [pixels] + [pixels[-1:]] * _BORDER, 0)
    pixels = tf.concat([pixels[:, :1]] * _BORDER + [pixels] + [pixels[:, -1:]] * _BORDER, 1)
    return tf.reshape(pixels, (-1,)), place, right, down, inside


@compiled(
    input_signature=[
        tf.TensorSpec((None,), tf.uint32),
        tf.TensorSpec((None,), tf.int32),
        tf.TensorSpec((None, None), tf.int32),
    ]
)
def _taps(pixels: tf.Tensor, place: tf.Tensor, around: tf.Tensor) -> tf.Tensor:
    """Gathers the (rows, columns, h * w) pixels around every place."""
    return tf.gather(pixels, place + around[..., None])


def _on_plane(
    mix: Callable,
    taps: tf.Tensor,
    right: tf.Tensor,
    down: tf.Tensor,
    inside: tf.Tensor,
    fill: tf.Tensor,
) -> tf.Tensor:
    """Interpolates between the `_taps` of `_source_points`; (h * w, 3) uint8."""
    # A channel after the other, each of all pixels: XLA is faster on a long last axis.
    shifts = tf.constant([0, 8, 16], tf.uint32)[:, None]
    rows = [
        mix([_channels(tap, shifts) for tap in tf.unstack(row)], right) for row in tf.unstack(taps)
    ]
    return _cut(mix(rows, down), inside, fill[:, None])


def _channels(pixels: tf.Tensor, shifts: tf.Tensor) -> tf.Tensor:
    bits = tf.bitwise.bitwise_and(tf.bitwise.right_shift(pixels, shifts), 255)
    return tf.cast(tf.cast(bits, tf.int32), tf.float32)


def _linear(taps: Sequence[tf.Tensor], offset: tf.Tensor) -> tf.Tensor:
    """Interpolates between the middle two of an even number of values."""
    first, second = taps[len(taps) // 2 - 1 : len(taps) // 2 + 1]
    return first + offset * (second - first)


def _cubic(taps: Sequence[tf.Tensor], offset: tf.Tensor) -> tf.Tensor:
    """Interpolates between the middle two of four values; a = -1, in Pillow's resize -1/2."""
    before, first, second, after = taps
    square = 2.0 * (before - first) + second - after
    cube = first - before + after - second
    return first + offset * (second - before + offset * (square + offset * cube))


def _cut(values: tf.Tensor, inside: tf.Tensor, fill: tf.Tensor) -> tf.Tensor:
    return tf.where(inside, tf.cast(tf.clip_by_value(values, 0.0, 255.0), tf.uint8), fill)


_linear_on_plane, _cubic_on_plane = (
    compiled(
        functools.partial(_on_plane, mix),
        input_signature=[
            tf.TensorSpec((count, count, None), tf.uint32),
            *[tf.TensorSpec((None,), tf.float32)] * 2,
            tf.TensorSpec((None,), tf.bool),
            _FILL,
        ],
    )
    for mix, count in ((_linear, 2), (_cubic, 4))
)
