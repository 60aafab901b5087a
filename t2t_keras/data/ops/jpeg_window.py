"""Decodes a random window of an image, and of a plain JPEG little more than that.

A JPEG's colors are mostly stored at half the width: the decoder makes those of a column of its
neighbors as well, and has none at the side of a window. So a margin is decoded, and cut away.
Rows need none.
"""

import tensorflow as tf

from t2t_keras.data.ops.crops import CropParams, window_of
from t2t_keras.data.ops.decode import (
    DCT_METHOD,
    UNTURNED,
    decode_image,
    plain_jpeg,
    small_enough,
)
from t2t_keras.data.ops.graph import compiled, single_op, traced

_MARGIN = 1  # columns a side
_BLOCK = 16  # columns; from a multiple of it on, the decoder need not move what it made
_END = b"\xff\xd9"
_PARAMS = [
    CropParams(
        tf.TensorSpec((None, 2), tf.float32),
        tf.TensorSpec((2,), tf.float32),
        tf.TensorSpec((), tf.bool),
    ),
    tf.TensorSpec((2,), tf.float32),
]
_CONTENTS, _SIZE = tf.TensorSpec((), tf.string), tf.TensorSpec((2,), tf.int32)


@traced(input_signature=[_CONTENTS, *_PARAMS])
def decode_window(contents: tf.Tensor, params: CropParams, ratio: tf.Tensor) -> tf.Tensor:
    """Decodes the window of a random resized crop, with the pixels of `decode_image`.

    Of an upright JPEG the window alone is decoded, so damage outside of it is not met. A file that
    does not end as a JPEG is decoded whole: one that was cut off always fails.
    """
    size, orientation = plain_jpeg(contents)
    complete = tf.strings.substr(contents, -len(_END), len(_END)) == _END
    window = tf.cond(
        (orientation == UNTURNED) & complete,
        lambda: _of_upright_jpeg(contents, size, params, ratio),
        lambda: _of_other(contents, params, ratio),
    )
    return tf.ensure_shape(window, (None, None, 3))


@single_op(input_signature=[_CONTENTS, *_PARAMS])
def _of_other(contents: tf.Tensor, params: CropParams, ratio: tf.Tensor) -> tf.Tensor:
    image = decode_image(contents)
    window = window_of(tf.shape(image)[:2], params, ratio)
    return image[window.rows, window.columns]


def _of_upright_jpeg(
    contents: tf.Tensor, size: tf.Tensor, params: CropParams, ratio: tf.Tensor
) -> tf.Tensor:
    decoded, start, kept = _places(size, params, ratio)
    with small_enough(*tf.unstack(size)):
        wide = tf.image.decode_and_crop_jpeg(contents, decoded, channels=3, dct_method=DCT_METHOD)
    rows = tf.slice(tf.reshape(wide, (kept[0], -1)), start, kept)
    return tf.reshape(rows, (kept[0], -1, 3))


@compiled(input_signature=[_SIZE, *_PARAMS])  # one op instead of some fifty small ones
def _places(
    size: tf.Tensor, params: CropParams, ratio: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """(top, left, height, width) to decode; the window's start and size in its rows of values."""
    window = window_of(size, params, ratio)
    left = tf.maximum(window.left - _MARGIN, 0) // _BLOCK * _BLOCK
    right = tf.minimum(window.left + window.width + _MARGIN, size[1])
    return (
        tf.stack([window.top, left, window.height, right - left]),
        tf.stack([0, 3 * (window.left - left)]),
        tf.stack([window.height, 3 * window.width]),
    )
