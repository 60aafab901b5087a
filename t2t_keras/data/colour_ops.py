"""Pillow's colour operations in a graph, on one (h, w, 3) uint8 RGB picture.

Values are Pillow's, rounding included. What depends on a value's level alone goes through a table
of 256 entries. XLA compiles the parts that touch every pixel, once for every size of picture:
plain graph operations take several times as long.
"""

from typing import Any

import tensorflow as tf

_PICTURE = tf.TensorSpec((None, None, 3), tf.uint8)
_FACTOR = tf.TensorSpec((), tf.float32)
_GREY_WEIGHTS = (19595, 38470, 7471)  # of RGB in 65536ths, as Pillow's convert("L")


def invert(image: tf.Tensor) -> tf.Tensor:
    """`ImageOps.invert`."""
    return 255 - image


def posterize(image: tf.Tensor, bits: Any) -> tf.Tensor:
    """`ImageOps.posterize`: keeps the upper `bits`, 0 to 8, of every value."""
    dropped = tf.bitwise.left_shift(1, 8 - tf.convert_to_tensor(bits, tf.int32))
    return tf.bitwise.bitwise_and(image, tf.cast(256 - dropped, tf.uint8))


def solarize(image: tf.Tensor, threshold: Any) -> tf.Tensor:
    """`ImageOps.solarize`: inverts values from `threshold`, 0 to 256, on."""
    levels = tf.range(256)
    return _same_table(image, tf.where(levels < threshold, levels, 255 - levels))


def solarize_add(image: tf.Tensor, added: Any) -> tf.Tensor:
    """Adds `added`, 0 to 255, to values below 128, up to 255."""
    levels = tf.range(256)
    return _same_table(image, tf.where(levels < 128, tf.minimum(levels + added, 255), levels))


def auto_contrast(image: tf.Tensor) -> tf.Tensor:
    """`ImageOps.autocontrast`: stretches every channel to 0..255."""
    lowest = tf.cast(tf.reduce_min(image, (0, 1)), tf.float64)
    highest = tf.cast(tf.reduce_max(image, (0, 1)), tf.float64)
    levels = tf.range(256, dtype=tf.float64)[:, None]
    scale = 255.0 / tf.maximum(highest - lowest, 1.0)
    # Pillow's two roundings, hence its values: not (levels - lowest) * scale.
    stretched = tf.clip_by_value(levels * scale + -lowest * scale, 0.0, 255.0)
    return _look_up(image, tf.cast(tf.where(highest > lowest, stretched, levels), tf.uint8))


def equalize(image: tf.Tensor) -> tf.Tensor:
    """`ImageOps.equalize`: spreads the levels of every channel evenly."""
    counts = _counts(image)
    below = tf.cumsum(counts, exclusive=True)
    step = tf.reduce_max(tf.where(counts > 0, below, 0), 0) // 255
    shares = (step // 2 + below) // tf.maximum(step, 1)
    table = tf.where(step > 0, tf.minimum(shares, 255), tf.range(256)[:, None])
    return _look_up(image, tf.cast(table, tf.uint8))


def brightness(image: tf.Tensor, factor: Any) -> tf.Tensor:
    """`ImageEnhance.Brightness`: black at 0, unchanged at 1."""
    return _same_table(image, _blended(0.0, tf.range(256, dtype=tf.float32), factor))


def contrast(image: tf.Tensor, factor: Any) -> tf.Tensor:
    """`ImageEnhance.Contrast`: one grey, the picture's mean, at 0, unchanged at 1."""
    pixels = tf.cast(tf.size(image) // 3, tf.float64)
    mean = tf.floor(tf.cast(_grey_sum(image), tf.float64) / pixels + 0.5)
    levels = tf.range(256, dtype=tf.float32)
    return _same_table(image, _blended(tf.cast(mean, tf.float32), levels, factor))


@tf.function(input_signature=[_PICTURE, _FACTOR], jit_compile=True, autograph=False)
def color(image: tf.Tensor, factor: Any) -> tf.Tensor:
    """`ImageEnhance.Color`: grey at 0, unchanged at 1."""
    grey = tf.cast(_grey(image), tf.float32)[..., None]
    return tf.cast(_blended(grey, tf.cast(image, tf.float32), factor), tf.uint8)


@tf.function(input_signature=[_PICTURE, _FACTOR], jit_compile=True, autograph=False)
def sharpness(image: tf.Tensor, factor: Any) -> tf.Tensor:
    """`ImageEnhance.Sharpness`: smoothed at 0, unchanged at 1; the outermost pixels stay."""
    height, width = tf.unstack(tf.shape(image)[:2])
    lines = tf.reshape(image, (height, 3 * width))  # XLA is faster on two axes
    values = tf.cast(lines, tf.float32)
    wide = tf.pad(values, ((1, 1), (3, 3)))
    three = wide[:-2] + wide[1:-1] + wide[2:]
    nine = three[:, :-6] + three[:, 3:-3] + three[:, 6:]
    smooth = tf.floor((nine + 4.0 * values) / 13.0 + 0.5)
    row, place = tf.range(height)[:, None], tf.range(3 * width)
    inside = (row > 0) & (row < height - 1) & (place >= 3) & (place < 3 * width - 3)
    sharp = tf.where(inside, tf.cast(_blended(smooth, values, factor), tf.uint8), lines)
    return tf.reshape(sharp, (height, width, 3))


def _blended(degenerate: Any, values: tf.Tensor, factor: Any) -> tf.Tensor:
    """`Image.blend`, yet to be cut to whole numbers."""
    factor = tf.cast(factor, tf.float32)
    return tf.clip_by_value(degenerate + factor * (values - degenerate), 0.0, 255.0)


def _grey(image: tf.Tensor) -> tf.Tensor:
    weighted = tf.reduce_sum(tf.cast(image, tf.int32) * _GREY_WEIGHTS, -1)
    return tf.bitwise.right_shift(weighted + 32768, 16)


@tf.function(input_signature=[_PICTURE], jit_compile=True, autograph=False)
def _grey_sum(image: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(_grey(image), tf.int64))


@tf.function(input_signature=[_PICTURE], jit_compile=True, autograph=False)
def _counts(image: tf.Tensor) -> tf.Tensor:
    """How often each channel has each level: (256, 3) int32."""
    places = tf.reshape(tf.cast(image, tf.int32) * 3 + tf.range(3), (-1,))
    counts = tf.math.unsorted_segment_sum(tf.ones_like(places), places, 768)
    return tf.reshape(counts, (256, 3))


def _same_table(image: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
    """One (256,) table for all channels."""
    return _look_up(image, tf.tile(tf.cast(table, tf.uint8)[:, None], (1, 3)))


@tf.function(
    input_signature=[_PICTURE, tf.TensorSpec((256, 3), tf.uint8)],
    jit_compile=True,
    autograph=False,
)
def _look_up(image: tf.Tensor, tables: tf.Tensor) -> tf.Tensor:
    """Every value replaced by its channel's entry."""
    places = tf.cast(image, tf.int32) * 3 + tf.range(3)
    return tf.gather(tf.reshape(tables, (-1,)), places)
