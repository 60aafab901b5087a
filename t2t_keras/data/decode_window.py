"""Decodes a random window of a picture, and of a JPEG little more than that.

A JPEG's colours are mostly stored at half the width: the decoder makes those of a column of its
neighbours as well, and has none at the side of a window. So a margin is decoded, and cut away.
Rows need none.
"""

import tensorflow as tf

from t2t_keras.data.crops import Window, draw_window
from t2t_keras.data.decode import DCT_METHOD, decode_picture, is_jpeg, small_enough
from t2t_keras.data.orientation import jpeg_orientation

_MARGIN = 8  # columns a side, of which one is needed
_END = b"\xff\xd9"


# One trace for all pipelines of a process, as `decode_picture`.
@tf.function(
    input_signature=[
        tf.TensorSpec((), tf.string),
        tf.TensorSpec((2,), tf.int64),
        tf.TensorSpec((2,), tf.float32),
        tf.TensorSpec((2,), tf.float32),
    ],
    autograph=False,
)
def decode_random_window(
    contents: tf.Tensor, seed: tf.Tensor, area: tf.Tensor, ratio: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The window that `random_resized_crop` resizes, with the pixels of `decode_picture`.

    Of an upright JPEG the window alone is decoded. What is decoded is checked: damage below the
    window, or right of it, is met in an epoch whose window reaches it. A file that does not end as
    a JPEG is decoded whole, so one that was cut off fails always.

    Args:
        contents: () string, of any format that `decode_picture` reads.
        seed: (2,) int64, of the crop.
        area: (2,) share of the picture's area to keep, as `random_resized_crop`'s.
        ratio: (2,) width over height, likewise.

    Returns:
        The window, (h, w, 3) uint8, and whether to resize it bicubically, () bool.

    Raises:
        tf.errors.InvalidArgumentError: As `decode_picture`, in what is decoded.
    """

    def upright_jpeg():
        height, width, _ = tf.unstack(tf.image.extract_jpeg_shape(contents))
        window = draw_window(height, width, seed, area, ratio)
        with small_enough(height, width):
            return _decoded(contents, width, window), window.bicubic

    def other():
        image = decode_picture(contents)
        window = draw_window(*tf.unstack(tf.shape(image)[:2]), seed, area, ratio)
        return image[window.rows, window.columns], window.bicubic

    ended = tf.strings.substr(contents, tf.maximum(tf.strings.length(contents) - 2, 0), 2) == _END
    window, bicubic = tf.cond(
        is_jpeg(contents) & ended & (jpeg_orientation(contents) == 1), upright_jpeg, other
    )
    return tf.ensure_shape(window, (None, None, 3)), bicubic


def _decoded(contents: tf.Tensor, width: tf.Tensor, window: Window) -> tf.Tensor:
    left = tf.maximum(window.left - _MARGIN, 0)
    right = tf.minimum(window.left + window.width + _MARGIN, width)
    wide = tf.image.decode_and_crop_jpeg(
        contents,
        tf.stack([window.top, left, window.height, right - left]),
        channels=3,
        dct_method=DCT_METHOD,
    )
    # TensorFlow copies a slice row by row where there are two axes, else value by value.
    start, rows = 3 * (window.left - left), tf.reshape(wide, (window.height, -1))
    return tf.reshape(rows[:, start : start + 3 * window.width], (window.height, -1, 3))
