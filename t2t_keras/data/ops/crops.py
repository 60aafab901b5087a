"""Resizes and crops inside a graph: the evaluation's, and the random ones of training.

Each takes one (h, w, 3) uint8 image and a static target (height, width), and returns
(height, width, 3) uint8. The random ones sample everything from the stateless `seed` they get.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from t2t_keras.data.ops.graph import round_to_levels
from t2t_keras.data.ops.seeds import split_seed
from t2t_keras.data.settings import Range
from t2t_keras.images.resize import Size, cover_size, crop_offset, resized_size

Sides = Sequence[Any]  # two integers, or integer tensors: of rows and of columns

_CROP_TRIES = 10
_LIGHT_ZOOM = 0.85  # the least fraction of a side that the light crop keeps


def evaluation_crop(image: tf.Tensor, target: Size, crop_pct: float) -> tf.Tensor:
    """Resizes and center-crops an image: `images.resize.resize_and_crop` in TensorFlow ops.

    Values are Pillow's but for one in a thousand, a level off; one in ten millions of pure noise is
    two levels off, where rounding ties of both axes meet.
    """
    height, width = tf.unstack(tf.shape(image)[:2])
    resized = resized_size(height, width, cover_size(target, crop_pct), tf.maximum)
    offset = [crop_offset(resized[i], target[i]) for i in (0, 1)]
    return _resized_window(image, resized, offset, target)


def light_crop(image: tf.Tensor, target: Size, crop_pct: float, seed: tf.Tensor) -> tf.Tensor:
    """Resizes as the evaluation does, a little larger at random, and crops a window anywhere."""
    zoom, place = split_seed(seed, 2)
    kept = crop_pct * tf.random.stateless_uniform((), zoom, _LIGHT_ZOOM, 1.0)
    cover: Any = [tf.cast(tf.cast(side, tf.float32) / kept, tf.int32) for side in target]
    height, width = tf.unstack(tf.shape(image)[:2])
    resized = resized_size(height, width, cover, tf.maximum)
    offset = _random_offset(place, resized, target)
    return _resized_window(image, resized, offset, target)


class Window(NamedTuple):
    """The part of an image that a random resized crop keeps."""

    top: tf.Tensor  # () int32, as the others
    left: tf.Tensor
    height: tf.Tensor  # at least 1, as the width
    width: tf.Tensor

    @property
    def rows(self) -> slice:
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        return slice(self.left, self.left + self.width)


class CropParams(NamedTuple):
    """The random numbers of resized crops, a row an image, before its size is known."""

    sides: tf.Tensor  # (images, 10, 2) float32: height and width of every try, over sqrt(area)
    place: tf.Tensor  # (images, 2) float32 in [0, 1): how far down and right the window lies
    bicubic: tf.Tensor  # (images,) bool


def sample_crops(seed: tf.Tensor, images: int, area: Range, ratio: Range) -> CropParams:
    """Samples random area and aspect of the crops of so many images."""
    draws = tf.random.stateless_uniform((images, 2 * _CROP_TRIES + 3), seed)
    fractions, logs, place, filters = tf.split(draws, (_CROP_TRIES, _CROP_TRIES, 2, 1), axis=1)
    narrow, wide = map(math.log, ratio)
    areas = area[0] + fractions * (area[1] - area[0])
    ratios = tf.exp(narrow + logs * (wide - narrow))
    sides = tf.sqrt(tf.stack([areas / ratios, areas * ratios], axis=-1))
    return CropParams(sides, place, filters[:, 0] >= 0.5)


def window_of(size: tf.Tensor, params: CropParams, ratio: Range | tf.Tensor) -> Window:
    """Finds the first of ten samples that fits an image, else the largest centered one in `ratio`.

    Reference: timm 0.3.4, `RandomResizedCropAndInterpolation`.
    """
    full = tf.cast(size, tf.float32)
    tries = tf.round(params.sides * tf.sqrt(tf.reduce_prod(full)))
    largest = tf.round(tf.reverse(full, (0,)) * tf.pow(ratio, (-1.0, 1.0)))
    sides = tf.concat([tries, [tf.minimum(largest, full)]], 0)  # the last always fits
    first = tf.argmax(tf.reduce_all(sides <= full, 1), output_type=tf.int32)
    kept = tf.maximum(tf.gather(sides, first), 1.0)
    spare = full - kept
    inside = tf.minimum(tf.floor(params.place * (spare + 1.0)), spare)
    offset = tf.where(first < _CROP_TRIES, inside, tf.floor(spare / 2.0))
    return Window(*tf.unstack(tf.cast(tf.concat([offset, kept], 0), tf.int32)))


def resized_crop(window: tf.Tensor, target: Size, bicubic: tf.Tensor) -> tf.Tensor:
    """Resizes a window, bilinearly if not `bicubic`: then 2% of the values are a level off."""
    return _resized_window(window, target, (0, 0), target, bicubic)


def padded_crop(image: tf.Tensor, target: Size, seed: tf.Tensor) -> tf.Tensor:
    """Crops a random window of the resized image and a black margin of an eighth: CIFAR's crop.

    Reference: official `transfer_learning.py`, torchvision's `Resize` and `RandomCrop(padding=)`.
    """
    height, width = tf.unstack(tf.shape(image)[:2])
    resized = resized_size(height, width, target, tf.maximum)
    margins = [side // 8 for side in target]
    padded = [resized[i] + 2 * margins[i] for i in (0, 1)]
    corner = _random_offset(seed, padded, target)
    offset = [corner[i] - margins[i] for i in (0, 1)]
    return _resized_window(image, resized, offset, target, bicubic=False)


def flip_if(image: tf.Tensor, mirrored: tf.Tensor) -> tf.Tensor:
    """Mirrors left and right where that () bool is true."""
    return tf.cond(mirrored, lambda: tf.reverse(image, (1,)), lambda: image)


def _random_offset(seed: tf.Tensor, full: Sides, window: Sides) -> list[tf.Tensor]:
    """Samples (top, left), each uniform over the places where the window lies inside."""
    uniform = tf.unstack(tf.random.stateless_uniform((2,), seed), 2)
    places = [tf.cast(full[i] - window[i] + 1, tf.float32) for i in (0, 1)]
    return [tf.cast(uniform[i] * places[i], tf.int32) for i in (0, 1)]


def _resized_window(
    image: tf.Tensor, resized: Sides, offset: Sides, target: Size, bicubic: tf.Tensor | bool = True
) -> tf.Tensor:
    """Makes a window of the resized image, with Pillow's pixels and without making the rest.

    Pillow resizes columns, rounds to 8 bits, then resizes rows: one pass here overshoots at edges
    where Pillow's first pass has already clipped, by up to 20 levels.
    """
    rows, columns, _ = tf.unstack(tf.shape(image))
    across = tf.transpose(tf.reshape(image, (rows, -1)))
    across = _scaled(across, columns, target[1], resized[1], offset[1], bicubic)
    down = tf.transpose(tf.reshape(across, (-1, rows)))
    down = _scaled(down, rows, target[0], resized[0], offset[0], bicubic)
    return tf.reshape(down, (*target, 3))


def _scaled(
    values: tf.Tensor,
    rows: tf.Tensor,
    size: int,
    resized: Any,
    offset: Any,
    bicubic: tf.Tensor | bool,
) -> tf.Tensor:
    """Scales uint8 values of so many rows to `resized` rows; `size` of them, from `offset`."""
    scale = tf.cast(resized, tf.float32) / tf.cast(rows, tf.float32)
    options = {
        "images": tf.reshape(values, (1, rows, 1, -1)),
        "size": (size, 1),
        "scale": tf.stack([scale, 1.0]),
        "translation": tf.stack([-tf.cast(offset, tf.float32), 0.0]),
        "antialias": True,
    }

    def scaled(kernel: str) -> tf.Tensor:
        return tf.raw_ops.ScaleAndTranslate(kernel_type=kernel, **options)

    if tf.is_tensor(bicubic):
        levels = tf.cond(bicubic, lambda: scaled("keyscubic"), lambda: scaled("triangle"))
    else:
        levels = scaled("keyscubic" if bicubic else "triangle")
    return round_to_levels(levels)
