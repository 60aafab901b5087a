"""Resizes and crops inside a graph: the evaluation's, and the random ones of training.

Each takes one (h, w, 3) uint8 picture and a static target (height, width), and returns
(height, width, 3) uint8. The random ones draw everything from the stateless `seed` they get.
"""

from typing import NamedTuple

import tensorflow as tf

from t2t_keras.data.seeds import split_seed
from t2t_keras.images.resize import Size, cover_size, crop_offset, resized_size

Range = tuple[float, float]

CROP_AREA: Range = (0.08, 1.0)  # share of the picture's area
CROP_RATIO: Range = (3 / 4, 4 / 3)  # width over height
_CROP_TRIES = 10
_LIGHT_ZOOM = 0.85  # the least share of a side that the light crop keeps


def evaluation_crop(image: tf.Tensor, target: Size, crop_pct: float) -> tf.Tensor:
    """The picture resized and centre-cropped: `images.resize.resize_and_crop` in TensorFlow ops.

    Values are Pillow's but for about one in a thousand, which is a level off; where a rounding tie
    of the first axis meets one of the second, one in ten millions of pure noise is two levels off.
    """
    height, width = tf.unstack(tf.shape(image)[:2])
    resized = resized_size(height, width, cover_size(target, crop_pct), tf.maximum)
    offset = [crop_offset(resized[i], target[i]) for i in (0, 1)]
    return _resized_window(image, resized, offset, target)


def light_crop(image: tf.Tensor, target: Size, crop_pct: float, seed: tf.Tensor) -> tf.Tensor:
    """The evaluation's resize, a little larger at random, and a window anywhere in it.

    Shifts and scales small pictures such as digits without turning, mirroring or squeezing them.
    """
    zoom, place = split_seed(seed, 2)
    kept = crop_pct * tf.random.stateless_uniform((), zoom, _LIGHT_ZOOM, 1.0)
    cover = [tf.cast(tf.cast(side, tf.float32) / kept, tf.int32) for side in target]
    height, width = tf.unstack(tf.shape(image)[:2])
    resized = resized_size(height, width, cover, tf.maximum)
    offset = _random_offset(place, resized, target)
    return _resized_window(image, resized, offset, target)


class Window(NamedTuple):
    """What a random resized crop keeps of a picture: () int32 each, and () bool.

    Attributes:
        top: Row it begins at.
        left: Column it begins at.
        height: At least 1.
        width: At least 1.
        bicubic: Whether it is resized bicubically, not bilinearly.
    """

    top: tf.Tensor
    left: tf.Tensor
    height: tf.Tensor
    width: tf.Tensor
    bicubic: tf.Tensor

    @property
    def rows(self) -> slice:
        return slice(self.top, self.top + self.height)

    @property
    def columns(self) -> slice:
        return slice(self.left, self.left + self.width)


def draw_window(
    height: tf.Tensor, width: tf.Tensor, seed: tf.Tensor, area: Range, ratio: Range
) -> Window:
    """Draws what `random_resized_crop` keeps of a picture of this size."""
    # All numbers in one draw and few ops: an op costs more than what it computes here.
    draws = tf.random.stateless_uniform((2 * _CROP_TRIES + 3,), seed)
    shares, logs, places, filters = tf.split(draws, (_CROP_TRIES, _CROP_TRIES, 2, 1))
    (least, most), (narrow, wide) = tf.unstack(area), tf.unstack(tf.math.log(ratio))
    full = tf.cast(tf.stack([height, width]), tf.float32)
    areas = tf.reduce_prod(full) * (least + shares * (most - least))
    ratios = tf.exp(narrow + logs * (wide - narrow))
    tries = tf.round(tf.sqrt(tf.stack([areas / ratios, areas * ratios], 1)))
    centred = tf.round(tf.reverse(full, (0,)) / tf.exp(tf.stack([narrow, -wide])))
    # The last always fits.
    sides = tf.concat([tries, [tf.minimum(centred, full)]], 0)
    first = tf.argmax(tf.reduce_all(sides <= full, 1), output_type=tf.int32)
    size = tf.maximum(tf.gather(sides, first), 1.0)
    spare = full - size
    drawn = tf.minimum(tf.floor(places * (spare + 1.0)), spare)
    offset = tf.where(first < _CROP_TRIES, drawn, tf.floor(spare / 2.0))
    window = tf.cast(tf.concat([offset, size], 0), tf.int32)
    return Window(*tf.unstack(window), tf.reshape(filters >= 0.5, ()))


def random_resized_crop(
    image: tf.Tensor,
    target: Size,
    seed: tf.Tensor,
    area: Range = CROP_AREA,
    ratio: Range = CROP_RATIO,
) -> tf.Tensor:
    """A random window of random area and aspect, resized bilinearly or bicubically at random.

    The window is the first of ten draws that fits the picture, else the largest centred one whose
    aspect is in `ratio` (timm 0.3.4, `RandomResizedCropAndInterpolation`). Pixels are Pillow's, as
    `evaluation_crop`'s are.
    """
    window = draw_window(*tf.unstack(tf.shape(image)[:2]), seed, area, ratio)
    return resized_crop(image[window.rows, window.columns], target, window.bicubic)


def resized_crop(window: tf.Tensor, target: Size, bicubic: tf.Tensor) -> tf.Tensor:
    """An (h, w, 3) uint8 window of a picture resized as `random_resized_crop` does it."""
    return _resized_window(window, target, (0, 0), target, bicubic)


def padded_crop(image: tf.Tensor, target: Size, seed: tf.Tensor) -> tf.Tensor:
    """The picture resized bilinearly to cover `target`, and a random window of it and its margin.

    The margin is an eighth of each side, and black: CIFAR's crop, at any size.

    Reference: official `transfer_learning.py`, torchvision's `Resize` and `RandomCrop(padding=)`.
    """
    height, width = tf.unstack(tf.shape(image)[:2])
    resized = resized_size(height, width, target, tf.maximum)
    margins = [side // 8 for side in target]
    padded = [resized[i] + 2 * margins[i] for i in (0, 1)]
    corner = _random_offset(seed, padded, target)
    offset = [corner[i] - margins[i] for i in (0, 1)]
    return _resized_window(image, resized, offset, target, bicubic=False)


def random_flip(image: tf.Tensor, seed: tf.Tensor, probability: float = 0.5) -> tf.Tensor:
    """Mirrors left and right with that probability."""
    mirrored = tf.random.stateless_uniform((), seed) < probability
    return tf.cond(mirrored, lambda: tf.reverse(image, (1,)), lambda: image)


def _random_offset(seed: tf.Tensor, full, window) -> list[tf.Tensor]:
    """(top, left), each uniform over the places where the window lies inside."""
    shares = tf.unstack(tf.random.stateless_uniform((2,), seed), 2)
    spare = [tf.cast(full[i] - window[i] + 1, tf.float32) for i in (0, 1)]
    return [tf.cast(share * places, tf.int32) for share, places in zip(shares, spare, strict=True)]


def _resized_window(
    image: tf.Tensor, resized, offset, target: Size, bicubic: tf.Tensor | bool = True
) -> tf.Tensor:
    """A window of the resized picture, with Pillow's pixels and without making the rest.

    Pillow resizes columns, rounds to 8 bits, then resizes rows: one pass here overshoots at edges
    where Pillow's first pass has already clipped, by up to 20 levels.
    """

    def made(scaled):
        rows, columns = tf.unstack(tf.shape(image)[:2])
        across = tf.reshape(tf.transpose(tf.reshape(image, (rows, -1))), (columns, -1))
        across = scaled(across, target[1], resized[1], offset[1])
        down = tf.transpose(tf.reshape(across, (-1, rows)))
        return tf.reshape(scaled(down, target[0], resized[0], offset[0]), (*target, 3))

    if tf.is_tensor(bicubic):
        return tf.cond(bicubic, lambda: made(_cubic), lambda: made(_linear))
    return made(_cubic if bicubic else _linear)


def _cubic(rows: tf.Tensor, size: int, resized, offset) -> tf.Tensor:
    scaled = _scaled(rows, size, resized, offset, "keyscubic")
    return tf.cast(tf.clip_by_value(scaled + 0.5, 0.0, 255.5), tf.uint8)


def _linear(rows: tf.Tensor, size: int, resized, offset) -> tf.Tensor:
    # Never leaves the levels of the picture.
    return tf.cast(_scaled(rows, size, resized, offset, "triangle") + 0.5, tf.uint8)


def _scaled(rows: tf.Tensor, size: int, resized, offset, kernel: str) -> tf.Tensor:
    """`size` of (n, c) uint8 rows scaled to `resized` rows, from the row `offset` on, in float32.

    TensorFlow scales rows several at a time and columns value by value, so columns are transposed.
    """
    scale = tf.cast(resized, tf.float32) / tf.cast(tf.shape(rows)[0], tf.float32)
    scaled = tf.raw_ops.ScaleAndTranslate(
        images=rows[None, :, None],
        size=(size, 1),
        scale=tf.stack([scale, 1.0]),
        translation=tf.stack([-tf.cast(offset, tf.float32), 0.0]),
        kernel_type=kernel,
        antialias=True,
    )
    return scaled[0, :, 0]
