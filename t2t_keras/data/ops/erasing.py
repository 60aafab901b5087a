"""Random erasing: boxes of a normalized image are overwritten with noise or with the mean.

Reference: arXiv:1708.04896; timm 0.3.4, `RandomErasing`.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from t2t_keras.data.ops.graph import overwrite
from t2t_keras.data.ops.seeds import split_seed
from t2t_keras.data.settings import Augmentation

_TRIES = 10


class Boxes(NamedTuple):
    """The boxes that a batch of images loses; a row an image, and a column a box."""

    places: tf.Tensor  # (B, erasing_count, 4) int32: top, left, and height and width, 0 for no box
    seeds: tf.Tensor  # (B, erasing_count, 2) int64, of what the boxes are filled with


def sample_boxes(
    config: Augmentation, height: int, width: int, images: tf.Tensor, seed: tf.Tensor
) -> Boxes:
    """Samples boxes: each is the first of ten tries that is smaller than the image, or none."""
    erased_seed, count_seed, shape_seed, place_seed, noise_seed = split_seed(seed, 5)
    erased = tf.random.stateless_uniform((images,), erased_seed) < config.erasing
    counts = tf.random.stateless_uniform(
        (images,), count_seed, 1, config.erasing_count + 1, tf.int32
    )
    sides = _sample_sides(config, height, width, counts, shape_seed)
    fits = tf.reduce_all(sides < (height, width), -1)
    first = tf.argmax(tf.cast(fits, tf.int32), -1)
    wanted = erased[:, None] & (tf.range(config.erasing_count) < counts[:, None])
    there = tf.reduce_any(fits, -1) & wanted
    size = tf.where(there[..., None], tf.gather(sides, first, batch_dims=2), 0)
    uniform = tf.random.stateless_uniform(tf.shape(size), place_seed, dtype=tf.float64)
    places = tf.cast(uniform * tf.cast((height + 1, width + 1) - size, tf.float64), tf.int32)
    seeds = tf.random.split(noise_seed, images * config.erasing_count)
    seeds = tf.reshape(seeds, (images, config.erasing_count, 2))
    return Boxes(tf.concat([places, size], -1), seeds)


def erase(images: tf.Tensor, mode: str, boxes: Boxes) -> tf.Tensor:
    """Overwrites the boxes of a normalized batch, as the mode of `ERASING_MODES` says."""
    numbers = tf.cast(tf.where(boxes.places[..., 2] > 0), tf.int32)
    rows = tf.shape(images)[1]

    def erased(place: tf.Tensor, lines: tf.Tensor) -> tuple[tf.Tensor, ...]:
        number = numbers[place]
        top, left, height, width = tf.unstack(tf.gather_nd(boxes.places, number))
        start = tf.stack([number[0] * rows + top, 3 * left])
        filling = _filling(mode, (height, width), tf.gather_nd(boxes.seeds, number))
        lines = overwrite(lines, start, tf.stack([height, 3 * width]), filling)
        return place + 1, lines

    count = tf.shape(numbers)[0]
    lines = tf.reshape(images, (-1, 3 * tf.shape(images)[2]))
    _, lines = tf.while_loop(lambda place, lines: place < count, erased, (0, lines))
    return tf.reshape(lines, tf.shape(images))


def _filling(mode: str, size: tuple[tf.Tensor, tf.Tensor], seed: tf.Tensor) -> tf.Tensor:
    height, width = size
    if mode == "pixel":
        return _normal_noise(height, 3 * width, seed)
    color = tf.random.stateless_normal((3,), seed) if mode == "rand" else tf.zeros(3)
    return tf.tile(color[None], (height, width))


def _normal_noise(rows: tf.Tensor, columns: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Samples as `tf.random.stateless_normal`, which goes value by value, in half its time.

    Reference: Box and Muller, 1958, a note on the generation of random normal deviates.
    """
    uniform, turn = tf.unstack(tf.random.stateless_uniform((2, rows, (columns + 1) // 2), seed))
    radius = tf.sqrt(-2.0 * tf.math.log1p(-uniform))
    angle = 2.0 * math.pi * turn
    pairs = tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], 1)
    return pairs[:, :columns]


def _sample_sides(
    config: Augmentation, height: int, width: int, counts: tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    """Samples heights and widths of all tries of all boxes, (B, erasing_count, tries, 2) int32."""
    shape = (2, tf.size(counts), config.erasing_count, _TRIES)
    draws = tf.random.stateless_uniform(shape, seed, dtype=tf.float64)
    lowest, highest = config.erasing_area
    total = (lowest + draws[0] * (highest - lowest)) * (height * width)
    areas = total / tf.cast(counts, tf.float64)[:, None, None]
    lowest, highest = map(math.log, config.erasing_aspect)
    aspects = tf.exp(lowest + draws[1] * (highest - lowest))
    sides = tf.stack([tf.sqrt(areas * aspects), tf.sqrt(areas / aspects)], -1)
    return tf.cast(tf.round(sides), tf.int32)
