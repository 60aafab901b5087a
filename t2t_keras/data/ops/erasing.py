"""Random erasing: boxes of a normalized image are overwritten with noise or with the mean.

Reference: arXiv:1708.04896; timm 0.3.4, `RandomErasing`.
"""

import dataclasses
import math
from typing import NamedTuple

import tensorflow as tf

from t2t_keras.data.ops.seeds import split_seed
from t2t_keras.errors import require

ERASING_MODES = ("const", "rand", "pixel")
_TRIES = 10

Range = tuple[float, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomErasingConfig:
    """How often images are erased and what of them; the defaults are the authors'.

    Args:
        probability: That an image is erased, in [0, 1].
        mode: "const" (0, the mean color), "rand" (one normal color a box) or "pixel" (normal
            noise).
        area: Fraction of the image's area that its boxes take together, within (0, 1].
        aspect: Height over width of a box, above 0; drawn evenly in its logarithm.
        max_count: An image that is erased loses 1 to this many boxes.

    Raises:
        ValueError: A setting is out of range.
    """

    probability: float = 0.25
    mode: str = "pixel"
    area: Range = (0.02, 1 / 3)
    aspect: Range = (0.3, 1 / 0.3)
    max_count: int = 1

    def __post_init__(self):
        checks = {
            "probability": (0 <= self.probability <= 1, "in [0, 1]"),
            "mode": (self.mode in ERASING_MODES, f"one of {', '.join(ERASING_MODES)}"),
            "area": (0 < self.area[0] <= self.area[1] <= 1, "a range within (0, 1]"),
            "aspect": (
                0 < self.aspect[0] <= self.aspect[1] < math.inf,
                "a range of finite numbers above 0",
            ),
            "max_count": (self.max_count >= 1, "at least 1"),
        }
        for name, (holds, expected) in checks.items():
            require(self, name, holds, expected)


class Boxes(NamedTuple):
    """What a batch of images loses; a row an image, and a column a box.

    Attributes:
        places: (B, max_count, 4) int32, the top, left, height and width of every box; height and
            width are 0 where nothing is erased.
        seeds: (B, max_count, 2) int64, of what the boxes are filled with.
    """

    places: tf.Tensor
    seeds: tf.Tensor


def sample_boxes(
    settings: RandomErasingConfig, height: int, width: int, images: tf.Tensor, seed: tf.Tensor
) -> Boxes:
    """Samples what so many images of this size lose, all of a batch at once.

    Each box is the first of ten draws that is smaller than the image; there is none where none
    is.
    """
    erased_seed, count_seed, shape_seed, place_seed, noise_seed = split_seed(seed, 5)
    erased = tf.random.stateless_uniform((images,), erased_seed) < settings.probability
    counts = tf.random.stateless_uniform((images,), count_seed, 1, settings.max_count + 1, tf.int32)
    sides = _drawn_sides(settings, height, width, counts, shape_seed)
    fits = tf.reduce_all(sides < (height, width), -1)
    first = tf.argmax(tf.cast(fits, tf.int32), -1)
    wanted = erased[:, None] & (tf.range(settings.max_count) < counts[:, None])
    there = tf.reduce_any(fits, -1) & wanted
    size = tf.where(there[..., None], tf.gather(sides, first, batch_dims=2), 0)
    shares = tf.random.stateless_uniform(tf.shape(size), place_seed, dtype=tf.float64)
    places = tf.cast(shares * tf.cast((height + 1, width + 1) - size, tf.float64), tf.int32)
    seeds = tf.random.split(noise_seed, images * settings.max_count)
    seeds = tf.reshape(seeds, (images, settings.max_count, 2))
    return Boxes(tf.concat([places, size], -1), seeds)


def erase(images: tf.Tensor, mode: str, boxes: Boxes) -> tf.Tensor:
    """Overwrites the boxes of a batch.

    Args:
        images: (B, H, W, 3) float32, normalized.
        mode: One of `ERASING_MODES`.
        boxes: What was drawn for these images.

    Returns:
        (B, H, W, 3) float32.
    """
    numbers = tf.cast(tf.where(boxes.places[..., 2] > 0), tf.int32)
    rows = tf.shape(images)[1]

    def erased(place, lines):
        number = numbers[place]
        top, left, height, width = tf.unstack(tf.gather_nd(boxes.places, number))
        start = tf.stack([number[0] * rows + top, 3 * left])
        # In the batch's own memory in a graph, where images are not put together anew.
        lines = tf.raw_ops.TensorStridedSliceUpdate(
            input=lines,
            begin=start,
            end=start + tf.stack([height, 3 * width]),
            strides=tf.ones_like(start),
            value=_filling(mode, (height, width), tf.gather_nd(boxes.seeds, number)),
        )
        return place + 1, lines

    count = tf.shape(numbers)[0]
    # TensorFlow is faster on two axes, the lines of all images, than on four.
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
    """`tf.random.stateless_normal`, which draws value by value, in half its time.

    Reference: Box and Muller, 1958, a note on the generation of random normal deviates.
    """
    share, turn = tf.unstack(tf.random.stateless_uniform((2, rows, (columns + 1) // 2), seed))
    radius = tf.sqrt(-2.0 * tf.math.log1p(-share))
    angle = 2.0 * math.pi * turn
    pairs = tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], 1)
    return pairs[:, :columns]


def _drawn_sides(settings, height, width, counts, seed):
    """Heights and widths of all tries of all boxes, (B, max_count, tries, 2) int32."""
    shape = (2, tf.size(counts), settings.max_count, _TRIES)
    draws = tf.random.stateless_uniform(shape, seed, dtype=tf.float64)
    lowest, highest = settings.area
    shares = (lowest + draws[0] * (highest - lowest)) * (height * width)
    areas = shares / tf.cast(counts, tf.float64)[:, None, None]
    lowest, highest = map(math.log, settings.aspect)
    aspects = tf.exp(lowest + draws[1] * (highest - lowest))
    sides = tf.stack([tf.sqrt(areas * aspects), tf.sqrt(areas / aspects)], -1)
    return tf.cast(tf.round(sides), tf.int32)
