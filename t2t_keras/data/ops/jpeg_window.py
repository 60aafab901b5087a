"""Decodes a random window of an image, and of a JPEG little more than that.

A JPEG's colors are mostly stored at half the width: the decoder makes those of a column of its
neighbors as well, and has none at the side of a window. So a margin is decoded, and cut away.
Rows need none.
"""

import tensorflow as tf

from t2t_keras.data.ops.crops import CropParams, window_of
from t2t_keras.data.ops.decode import (
    DCT_METHOD,
    decode_image,
    is_jpeg,
    jpeg_orientation,
    may_be_turned,
    small_enough,
)
from t2t_keras.data.ops.graph import compiled

_MARGIN = 1  # columns a side
_BLOCK = 16  # columns; from a multiple of it on, the decoder need not move what it made
_END = b"\xff\xd9"


_SIGNATURE = [
    tf.TensorSpec((), tf.string),
    CropParams(
        tf.TensorSpec((None, 2), tf.float32),
        tf.TensorSpec((2,), tf.float32),
        tf.TensorSpec((), tf.bool),
    ),
    tf.TensorSpec((2,), tf.float32),
]


# One trace for all pipelines of a process, as `decode_image`.
@tf.function(input_signature=_SIGNATURE, autograph=False)
def decode_window(contents: tf.Tensor, drawn: CropParams, ratio: tf.Tensor) -> tf.Tensor:
    """The window that `random_resized_crop` resizes, with the pixels of `decode_image`.

    Of an upright JPEG the window alone is decoded. What is decoded is checked: damage below the
    window, or right of it, is met in an epoch whose window reaches it. A file that does not end as
    a JPEG is decoded whole, so one that was cut off fails always.

    Args:
        contents: () string, of any format that `decode_image` reads.
        drawn: One row of what `sample_crops` drew.
        ratio: (2,) width over height, as it was drawn with.

    Returns:
        (h, w, 3) uint8.

    Raises:
        tf.errors.InvalidArgumentError: As `decode_image`, in what is decoded.
    """
    whole = is_jpeg(contents) & (tf.strings.substr(contents, -len(_END), len(_END)) == _END)
    window = tf.cond(
        whole & ~may_be_turned(contents),
        lambda: _of_upright_jpeg(contents, drawn, ratio),
        lambda: _of_other(contents, drawn, ratio, whole),
    )
    return tf.ensure_shape(window, (None, None, 3))


# Rare and large, so a single op in the graph around it: see `decode._not_jpeg`.
@tf.function(
    input_signature=[*_SIGNATURE, tf.TensorSpec((), tf.bool)],
    autograph=False,
    experimental_attributes={"_noinline": True},
)
def _of_other(contents: tf.Tensor, drawn: CropParams, ratio: tf.Tensor, whole_jpeg: tf.Tensor):
    def of_whole():
        image = decode_image(contents)
        window = window_of(tf.shape(image)[:2], drawn, ratio)
        return image[window.rows, window.columns]

    return tf.cond(
        whole_jpeg & (jpeg_orientation(contents) == 1),
        lambda: _of_upright_jpeg(contents, drawn, ratio),
        of_whole,
    )


def _of_upright_jpeg(contents: tf.Tensor, drawn: CropParams, ratio: tf.Tensor) -> tf.Tensor:
    size = tf.image.extract_jpeg_shape(contents)[:2]
    decoded, start, kept = _places(size, drawn, ratio)
    with small_enough(*tf.unstack(size)):
        wide = tf.image.decode_and_crop_jpeg(contents, decoded, channels=3, dct_method=DCT_METHOD)
    # TensorFlow copies a slice row by row where there are two axes, else value by value.
    rows = tf.slice(tf.reshape(wide, (kept[0], -1)), start, kept)
    return tf.reshape(rows, (kept[0], -1, 3))


# XLA makes one op of some fifty small ones.
@compiled(input_signature=[tf.TensorSpec((2,), tf.int32), *_SIGNATURE[1:]])
def _places(size: tf.Tensor, drawn: CropParams, ratio: tf.Tensor):
    """What to decode of an image of that size, and where in its rows of values the window lies.

    Returns:
        The decoded part's (top, left, height, width), and the window's (row, value) and (rows,
        values) in it, all int32.
    """
    window = window_of(size, drawn, ratio)
    left = tf.maximum(window.left - _MARGIN, 0) // _BLOCK * _BLOCK
    right = tf.minimum(window.left + window.width + _MARGIN, size[1])
    return (
        tf.stack([window.top, left, window.height, right - left]),
        tf.stack([0, 3 * (window.left - left)]),
        tf.stack([window.height, 3 * window.width]),
    )
