"""Color operations with Pillow's values, color jitter, and the normalization of pixels."""

from typing import Any

import tensorflow as tf

from t2t_keras.data.ops.graph import compiled, traced
from t2t_keras.data.ops.seeds import split_seed
from t2t_keras.images.constants import IMAGENET_MEAN, IMAGENET_STD, Color

_IMAGE = tf.TensorSpec((None, None, 3), tf.uint8)
_INTEGER = tf.TensorSpec((), tf.int32)
_FACTOR = tf.TensorSpec((), tf.float32)
_GRAY_WEIGHTS = (19595, 38470, 7471)  # of RGB in 65536ths, as Pillow's convert("L")


def invert(image: tf.Tensor) -> tf.Tensor:
    """Applies `ImageOps.invert`."""
    return 255 - image


@compiled(input_signature=[_IMAGE, _INTEGER])
def posterize(image: tf.Tensor, bits: Any) -> tf.Tensor:
    """Applies `ImageOps.posterize`: keeps the upper `bits`, 0 to 8, of every value."""
    kept = 256 - tf.bitwise.left_shift(1, 8 - bits)
    return tf.bitwise.bitwise_and(image, tf.cast(kept, tf.uint8))


@compiled(input_signature=[_IMAGE, _INTEGER])
def solarize(image: tf.Tensor, threshold: Any) -> tf.Tensor:
    """Applies `ImageOps.solarize`: inverts values from `threshold`, 0 to 256."""
    return tf.where(tf.cast(image, tf.int32) < threshold, image, 255 - image)


@compiled(input_signature=[_IMAGE, _INTEGER])
def solarize_add(image: tf.Tensor, added: Any) -> tf.Tensor:
    """Adds `added`, 0 to 255, to values below 128, up to 255."""
    values = tf.cast(image, tf.int32)
    more = tf.cast(tf.minimum(values + added, 255), tf.uint8)
    return tf.where(values < 128, more, image)


def auto_contrast(image: tf.Tensor) -> tf.Tensor:
    """Applies `ImageOps.autocontrast`: stretches every channel to 0..255."""
    lowest, highest = tf.unstack(tf.cast(_extremes(image), tf.float64))
    levels = tf.range(256, dtype=tf.float64)[:, None]
    scale = 255.0 / tf.maximum(highest - lowest, 1.0)
    # Not compiled: Pillow rounds the product and the sum, and so whole levels would differ.
    stretched = tf.clip_by_value(levels * scale + -lowest * scale, 0.0, 255.0)
    table = tf.cast(tf.where(highest > lowest, stretched, levels), tf.uint8)
    return _look_up(image, tf.reshape(table, (-1,)))


def equalize(image: tf.Tensor) -> tf.Tensor:
    """Applies `ImageOps.equalize`: spreads the levels of every channel evenly."""
    return _look_up(image, _equalizing_table(image))


@compiled(input_signature=[_IMAGE, _FACTOR])
def brightness(image: tf.Tensor, factor: Any) -> tf.Tensor:
    """Applies `ImageEnhance.Brightness`: black at 0, unchanged at 1."""
    return _blended(0.0, image, factor)


@compiled(input_signature=[_IMAGE, _FACTOR])
def contrast(image: tf.Tensor, factor: Any) -> tf.Tensor:
    """Applies `ImageEnhance.Contrast`: one gray, the image's mean, at 0, unchanged at 1."""
    gray = tf.cast(_gray(image), tf.int64)
    mean = tf.cast(tf.reduce_sum(gray), tf.float64) / tf.cast(tf.size(gray), tf.float64)
    return _blended(tf.cast(tf.floor(mean + 0.5), tf.float32), image, factor)


@compiled(input_signature=[_IMAGE, _FACTOR])
def color(image: tf.Tensor, factor: Any) -> tf.Tensor:
    """Applies `ImageEnhance.Color`: gray at 0, unchanged at 1."""
    return _blended(tf.cast(_gray(image), tf.float32)[..., None], image, factor)


@compiled(input_signature=[_IMAGE, _FACTOR])
def sharpness(image: tf.Tensor, factor: Any) -> tf.Tensor:
    """Applies `ImageEnhance.Sharpness`: smoothed at 0, unchanged at 1; the border stays."""
    height, width = tf.unstack(tf.shape(image)[:2])
    lines = tf.reshape(image, (height, 3 * width))
    values = tf.cast(lines, tf.float32)
    three = values[:-2] + values[1:-1] + values[2:]
    nine = three[:, :-6] + three[:, 3:-3] + three[:, 6:]
    inner = values[1:-1, 3:-3]
    smooth = tf.floor((nine + 4.0 * inner) / 13.0 + 0.5)
    sharp = _blended(smooth, inner, factor)
    # The last row and column, unless they are the first as well.
    sharp = tf.concat([lines[1:-1, :3], sharp, lines[1:-1, 3:][:, -3:]], 1)
    sharp = tf.concat([lines[:1], sharp, lines[1:][-1:]], 0)
    return tf.reshape(sharp, (height, width, 3))


def _blended(degenerate: Any, image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Applies `Image.blend`, which cuts to whole numbers."""
    blend = degenerate + factor * (tf.cast(image, tf.float32) - degenerate)
    return tf.cast(tf.clip_by_value(blend, 0.0, 255.0), tf.uint8)


def _gray(image: tf.Tensor) -> tf.Tensor:
    weighted = tf.reduce_sum(tf.cast(image, tf.int32) * _GRAY_WEIGHTS, -1)
    return tf.bitwise.right_shift(weighted + 32768, 16)


@compiled(input_signature=[_IMAGE])
def _extremes(image: tf.Tensor) -> tf.Tensor:
    """Each channel's lowest and highest value, (2, 3) uint8."""
    return tf.stack([tf.reduce_min(image, (0, 1)), tf.reduce_max(image, (0, 1))])


@compiled(input_signature=[_IMAGE])
def _equalizing_table(image: tf.Tensor) -> tf.Tensor:
    """New level of each channel's levels: (768,) uint8, channels next to each other."""
    places = tf.reshape(_places(image), (-1,))
    counts = tf.math.unsorted_segment_sum(tf.ones_like(places), places, 768)
    counts = tf.reshape(counts, (256, 3))
    below = tf.cumsum(counts, exclusive=True)
    step = tf.reduce_max(tf.where(counts > 0, below, 0), 0) // 255
    shares = (step // 2 + below) // tf.maximum(step, 1)
    table = tf.where(step > 0, tf.minimum(shares, 255), tf.range(256)[:, None])
    return tf.reshape(tf.cast(table, tf.uint8), (-1,))


@compiled(input_signature=[_IMAGE, tf.TensorSpec((768,), tf.uint8)])
def _look_up(image: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
    return tf.gather(table, _places(image))


def _places(image: tf.Tensor) -> tf.Tensor:
    """Index of every value's level and channel in a table."""
    return tf.cast(image, tf.int32) * 3 + tf.range(3)


def sample_jitter(strength: float, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Samples the order of brightness (0), contrast (1) and saturation (2), and their factors."""
    order_seed, factor_seed = split_seed(seed, 2)
    order = tf.argsort(tf.random.stateless_uniform((3,), order_seed))
    lowest, highest = max(0.0, 1.0 - strength), 1.0 + strength
    return order, tf.random.stateless_uniform((3,), factor_seed, lowest, highest)


def color_jitter(image: tf.Tensor, strength: float, seed: tf.Tensor) -> tf.Tensor:
    """Changes brightness, contrast and saturation in random order: torchvision's `ColorJitter`."""
    order, factors = sample_jitter(strength, seed)
    shape = image.shape
    for op in tf.unstack(order):
        image = _jitter_op(image, op, factors[op])
    return tf.ensure_shape(image, shape)


@traced(input_signature=[_IMAGE, _INTEGER, _FACTOR])
def _jitter_op(image: tf.Tensor, op: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    ops = (brightness, contrast, color)
    return tf.switch_case(op, [lambda op=op: op(image, factor) for op in ops])


def normalize(
    images: tf.Tensor, mean: Color = IMAGENET_MEAN, std: Color = IMAGENET_STD
) -> tf.Tensor:
    """Does what `images.preprocess_input` does, in TensorFlow whatever Keras' backend is."""
    width = tf.shape(images)[-2]
    means, deviations = (
        tf.tile(255 * tf.convert_to_tensor(color, tf.float32), (width,)) for color in (mean, std)
    )
    rows = tf.reshape(tf.cast(images, tf.float32), (-1, 3 * width))
    normal = tf.reshape((rows - means) / deviations, tf.shape(images))
    return tf.ensure_shape(normal, images.shape)
