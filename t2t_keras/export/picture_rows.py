"""Encoded pictures of a request -> rows of pixels; a damaged one costs its own row alone."""

import tensorflow as tf

from t2t_keras.data.crops import evaluation_crop
from t2t_keras.data.decode import decode_picture
from t2t_keras.images.resize import Size


def decode_rows(contents: tf.Tensor, target: Size, crop_pct: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes, resizes and crops a batch of files, each on its own.

    Args:
        contents: (B,) string; B may be 0.
        target: (height, width) in pixels.
        crop_pct: Share of the resized side that the evaluation's crop keeps, in (0, 1].

    Returns:
        (B, height, width, 3) uint8, and (B,) bool: whether the picture could be read. A row that
        could not is black.
    """
    count = tf.size(contents, tf.int64)

    def prepare(place):
        return place, evaluation_crop(decode_picture(contents[place]), target, crop_pct)

    # A decoder's error fails the whole graph, but for one inside tf.data. The row behind the last
    # picture is there for a batch without a single good one; it is cut off below.
    behind = tf.data.Dataset.from_tensors((count, tf.zeros((*target, 3), tf.uint8)))
    rows = (
        tf.data.Dataset.range(count)
        .map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=False)
        .ignore_errors()
        .concatenate(behind)
        .batch(count + 1)
        .with_options(_for_one_request())
    )
    places, pixels = rows.get_single_element()
    places = places[:, None]
    readable = tf.scatter_nd(places, tf.ones_like(places[:, 0], tf.bool), (count + 1,))
    pixels = tf.scatter_nd(places, pixels, (count + 1, *target, 3))
    return pixels[:-1], readable[:-1]


def _for_one_request() -> tf.data.Options:
    """Leaves out what pays in a long pipeline alone, and would be done for every request."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return options
