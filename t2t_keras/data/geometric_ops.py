"""Pillow's affine transforms in a graph, on one (h, w, 3) uint8 RGB picture of any size.

As `Image.transform` and `Image.rotate`, border included: a place outside the picture takes the
fill colour, one inside is interpolated with the outermost pixels repeated, and cut, not rounded,
to a whole number. Values are mixed in float32 where Pillow has float64: none is more than a level
off, fewer than one in a hundred is, and up to one in ten where a translation gives all the same
fraction. XLA compiles what touches every pixel, once for every size of picture; in two steps, for
in one it would compute the places again for every neighbour.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

_PICTURE = tf.TensorSpec((None, None, 3), tf.uint8)
_FLAG = tf.TensorSpec((), tf.bool)
_FILL = tf.TensorSpec((3,), tf.uint8)
_SHIFTS = tf.TensorSpec((None,), tf.float64)
_PLACES = (
    tf.TensorSpec((None,), tf.int32),
    tf.TensorSpec((None, 1), tf.float32),
    tf.TensorSpec((None, 1), tf.float32),
    tf.TensorSpec((None, 1), tf.bool),
)
_BORDER = 2  # pixels a side that the wider filter may reach over


def rotate(image: tf.Tensor, degrees: Any, bicubic: Any, fill: Any) -> tf.Tensor:
    """`Image.rotate`: counter-clockwise around the centre.

    Args:
        image: (h, w, 3) uint8.
        degrees: () float.
        bicubic: () bool; bilinear where false.
        fill: (3,) uint8, the colour of what comes from outside.
    """
    radians = tf.cast(degrees, tf.float64) * (math.pi / 180.0)
    places = _turned_places(image, tf.cos(radians), tf.sin(radians))
    return _on_plane(image, *places, bicubic, tf.cast(fill, tf.uint8))


def shear_x(image: tf.Tensor, factor: Any, bicubic: Any, fill: Any) -> tf.Tensor:
    """Takes row y from `factor` * (y + 1/2) pixels further right; the rest as `rotate`."""
    rows = tf.cast(tf.range(tf.shape(image)[0]), tf.float64)
    return _shifted_rows(image, tf.cast(factor, tf.float64) * (rows + 0.5), bicubic, fill)


def shear_y(image: tf.Tensor, factor: Any, bicubic: Any, fill: Any) -> tf.Tensor:
    """Takes column x from `factor` * (x + 1/2) pixels further down; the rest as `rotate`."""
    return _turned_over(shear_x(_turned_over(image), factor, bicubic, fill))


def translate_x(image: tf.Tensor, pixels: Any, bicubic: Any, fill: Any) -> tf.Tensor:
    """Takes everything from `pixels`, a float, further right; the rest as `rotate`."""
    shifts = tf.fill(tf.shape(image)[:1], tf.cast(pixels, tf.float64))
    return _shifted_rows(image, shifts, bicubic, fill)


def translate_y(image: tf.Tensor, pixels: Any, bicubic: Any, fill: Any) -> tf.Tensor:
    """Takes everything from `pixels`, a float, further down; the rest as `rotate`."""
    return _turned_over(translate_x(_turned_over(image), pixels, bicubic, fill))


def _turned_over(image: tf.Tensor) -> tf.Tensor:
    """Rows become columns."""
    return tf.transpose(image, (1, 0, 2))


def _shifted_rows(image: tf.Tensor, shifts: tf.Tensor, bicubic: Any, fill: Any) -> tf.Tensor:
    """Takes every row from its (h,) float64 shift further right."""
    return _on_rows(_from_columns(image, shifts), shifts, bicubic, tf.cast(fill, tf.uint8))


_compiled = functools.partial(tf.function, jit_compile=True, autograph=False)


@_compiled(input_signature=[_PICTURE, _SHIFTS])
def _from_columns(image: tf.Tensor, shifts: tf.Tensor) -> tf.Tensor:
    """Every row from its own column on, the outermost pixels repeated.

    Returns:
        (h, w + 3, 3) uint8, of which the first column lies before the shift's whole part.
    """
    height, width = tf.unstack(tf.shape(image)[:2])
    starts = tf.cast(tf.floor(shifts), tf.int32)[:, None]
    columns = tf.clip_by_value(starts + tf.range(-1, width + 2), 0, width - 1)
    return tf.gather(tf.reshape(image, (-1, 3)), tf.range(height)[:, None] * width + columns)


@_compiled(input_signature=[_PICTURE, _SHIFTS, _FLAG, _FILL])
def _on_rows(pixels: tf.Tensor, shifts: tf.Tensor, bicubic: tf.Tensor, fill: tf.Tensor):
    """Interpolates what `_from_columns` made."""
    height, width = tf.shape(pixels)[0], tf.shape(pixels)[1] - 3
    values = tf.cast(tf.reshape(pixels, (height, -1)), tf.float32)  # XLA is faster on two axes
    taps = [values[:, 3 * start : 3 * (start + width)] for start in range(4)]
    share = tf.cast(shifts - tf.floor(shifts), tf.float32)[:, None]
    bounds = [tf.math.ceil(bound - 0.5 - shifts) for bound in (0, tf.cast(width, tf.float64))]
    first, end = (3 * tf.cast(bound, tf.int32)[:, None] for bound in bounds)
    place = tf.range(3 * width)
    inside, colours = (first <= place) & (place < end), tf.tile(fill, [width])
    mixed = tf.cond(
        bicubic,
        lambda: _cut(_cubic(taps, share), inside, colours),
        lambda: _cut(_linear(taps, share), inside, colours),
    )
    return tf.reshape(mixed, (height, width, 3))


@_compiled(input_signature=[_PICTURE, *[tf.TensorSpec((), tf.float64)] * 2])
def _turned_places(image: tf.Tensor, cosine: tf.Tensor, sine: tf.Tensor):
    """Where every pixel of a turned picture comes from.

    Returns:
        The place, in the flat bordered picture, of the pixel before that point, (h * w,) int32;
        how far the point lies right and down of it, (h * w, 1) float32 in [0, 1) each; whether it
        lies in the picture, (h * w, 1) bool.
    """
    height, width = tf.unstack(tf.shape(image)[:2])
    y_end, x_end = tf.cast(height, tf.float64), tf.cast(width, tf.float64)
    y = tf.cast(tf.range(height), tf.float64)[:, None] + (0.5 - y_end / 2.0)
    x = tf.cast(tf.range(width), tf.float64) + (0.5 - x_end / 2.0)
    x_from = tf.reshape(cosine * x - sine * y + x_end / 2.0, (-1, 1))
    y_from = tf.reshape(sine * x + cosine * y + y_end / 2.0, (-1, 1))
    inside = (x_from >= 0.0) & (x_from < x_end) & (y_from >= 0.0) & (y_from < y_end)
    column, row = tf.floor(x_from - 0.5), tf.floor(y_from - 0.5)
    right, down = (
        tf.cast(x_from - 0.5 - column, tf.float32),
        tf.cast(y_from - 0.5 - row, tf.float32),
    )
    row, column = tf.cast(row, tf.int32) + _BORDER, tf.cast(column, tf.int32) + _BORDER
    place = tf.where(inside, row * (width + 2 * _BORDER) + column, 0)
    return place[:, 0], right, down, inside


@_compiled(input_signature=[_PICTURE, *_PLACES, _FLAG, _FILL])
def _on_plane(image, place, right, down, inside, bicubic, fill):
    """Interpolates at `_turned_places`."""
    shape = tf.shape(image)
    row_length = shape[1] + 2 * _BORDER
    image = tf.concat([image[:1]] * _BORDER + [image] + [image[-1:]] * _BORDER, 0)
    image = tf.concat([image[:, :1]] * _BORDER + [image] + [image[:, -1:]] * _BORDER, 1)
    pixels = tf.reshape(image, (-1, 3))

    def mixed(mix):
        taps = [
            [tf.gather(pixels, place + (y * row_length + x)) for x in range(-1, 3)]
            for y in range(-1, 3)
        ]
        rows = [mix([tf.cast(tap, tf.float32) for tap in row], right) for row in taps]
        return _cut(mix(rows, down), inside, fill)

    return tf.reshape(tf.cond(bicubic, lambda: mixed(_cubic), lambda: mixed(_linear)), shape)


def _linear(taps: Sequence[tf.Tensor], share: tf.Tensor) -> tf.Tensor:
    """Between the middle two of four values."""
    _, first, second, _ = taps
    return first + share * (second - first)


def _cubic(taps: Sequence[tf.Tensor], share: tf.Tensor) -> tf.Tensor:
    """Between the middle two of four values; a = -1 here, where Pillow's resize has -1/2."""
    before, first, second, after = taps
    square = 2.0 * (before - first) + second - after
    cube = first - before + after - second
    return first + share * (second - before + share * (square + share * cube))


def _cut(values: tf.Tensor, inside: tf.Tensor, fill: tf.Tensor) -> tf.Tensor:
    return tf.where(inside, tf.cast(tf.clip_by_value(values, 0.0, 255.0), tf.uint8), fill)
