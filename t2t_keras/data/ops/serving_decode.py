"""`decode_image` without Python, for graphs that are served: GIF, WebP and BMP in TensorFlow's ops.

Files that TensorFlow's decoders would show wrong or crash on are refused: CMYK without Adobe's
mark, BMP that is not plain 24-bit, GIF and WebP whose parts are out of order, and a file that is
turned otherwise than by one plain EXIF block.
"""

import tensorflow as tf

from t2t_keras.data.ops.chunks import FirstFrame, first_webp_frame, number_at, png_chunks
from t2t_keras.data.ops.decode import (
    PNG_MARKS,
    UNTURNED,
    XMP_TURN,
    contains,
    decode_jpeg,
    decode_png,
    exif_orientation,
    is_jpeg,
    jpeg_orientation,
    small_enough,
    upright,
    without_alpha,
)
from t2t_keras.data.ops.graph import assert_op, overwrite, single_op, traced
from t2t_keras.images.png import SIGNATURE

_CONTENTS = [tf.TensorSpec((), tf.string)]
_HEADER = 36  # bytes of all numbers of a BMP that are read
_SCREEN, _TABLE = 6, 13  # where a GIF's screen size and the colors of all its frames lie
_EXTENSION, _IMAGE, _CONTROL = 0x21, 0x2C, 0xF9
_BMP_HEADERS = (40, 108, 124)  # bytes after the first 14
_LONGEST_RUN = 256  # sub-blocks skipped in one step
_STEPS = 4096  # no GIF needs more; a file made to need them would cost seconds


@traced(input_signature=_CONTENTS)
def decode_in_graph(contents: tf.Tensor) -> tf.Tensor:
    """Decodes a JPEG, PNG, WebP, GIF (first frame) or 24-bit BMP; refuses as `decode_image`."""
    image = tf.cond(is_jpeg(contents), lambda: _jpeg(contents), lambda: _not_jpeg(contents))
    return tf.ensure_shape(image, (None, None, 3))


def _jpeg(contents: tf.Tensor) -> tf.Tensor:
    shape = tf.image.extract_jpeg_shape(contents)
    # TensorFlow shows other CMYK as black.
    known = (shape[2] != 4) | contains(contents, (rb"\x00\x0eAdobe",))
    with tf.control_dependencies([assert_op(known, "CMYK without Adobe's mark")]):
        orientation = jpeg_orientation(contents)
    with tf.control_dependencies([_told(orientation)]):
        return decode_jpeg(contents, shape[:2], orientation)


def _told(orientation: tf.Tensor) -> tf.Operation:
    return assert_op(orientation > 0, "an orientation that is not plainly said")


def _png(contents: tf.Tensor) -> tf.Tensor:
    def marked() -> tf.Tensor:
        at, size = png_chunks(contents).span(b"eXIf", last=True)
        return exif_orientation(contents, tf.where(at < 0, -1, at + 8), size - 12, PNG_MARKS[1:])

    orientation = tf.cond(contains(contents, PNG_MARKS), marked, lambda: UNTURNED)
    with tf.control_dependencies([_told(orientation)]):
        return upright(decode_png(contents), orientation)


@single_op(input_signature=_CONTENTS)
def _not_jpeg(contents: tf.Tensor) -> tf.Tensor:
    # Padded, as an error would hold what is cut off here, in bytes that are no text.
    header = tf.strings.join([tf.strings.substr(contents, 0, _HEADER), bytes(_HEADER)])

    def begins(magic: bytes, at: int = 0) -> tf.Tensor:
        return tf.strings.substr(header, at, len(magic)) == magic

    return tf.case(
        [
            (begins(SIGNATURE), lambda: _png(contents)),
            (begins(b"RIFF") & begins(b"WEBP", 8), lambda: _webp(contents)),
            (begins(b"GIF87a") | begins(b"GIF89a"), lambda: _gif(contents)),
        ],
        default=lambda: _bmp(contents, header, begins(b"BM")),
    )


def _webp(contents: tf.Tensor) -> tf.Tensor:
    frame, exif_at, exif_size = first_webp_frame(contents)
    orientation = exif_orientation(contents, exif_at, exif_size, (XMP_TURN,))
    with tf.control_dependencies([_told(orientation)]):
        return upright(_on_canvas(frame, "a WebP with sizes or flags that disagree"), orientation)


def _on_canvas(frame: FirstFrame, damage: str) -> tf.Tensor:
    with small_enough(*tf.unstack(frame.canvas)):
        whole = assert_op(frame.whole, damage)
    with tf.control_dependencies([whole]):
        image = tf.io.decode_image(frame.contents, expand_animations=False)
    image = without_alpha(tf.ensure_shape(image, (None, None, None)))

    def composed() -> tf.Tensor:
        canvas = tf.tile(frame.background[None, None], [*tf.unstack(frame.canvas), 1])
        start = tf.concat([frame.offset, [0]], axis=0)
        return overwrite(canvas, start, tf.shape(image), image)

    covered = tf.reduce_all(tf.shape(image)[:2] == frame.canvas)
    return tf.cond(covered, lambda: image, composed)


def _bmp(contents: tf.Tensor, header: tf.Tensor, is_bmp: tf.Tensor) -> tf.Tensor:
    # TensorFlow reads a palette's indices as gray and overlooks compression.
    start, size, width, height = (number_at(header, at, 4) for at in (10, 14, 18, 22))
    height = tf.minimum(height, 2**32 - height)  # a negative one: the rows come from the top
    length = start + (width * 3 + 3) // 4 * 4 * height
    plain = (
        is_bmp
        & (start >= 14 + size)
        & tf.reduce_any(size == _BMP_HEADERS)
        & (number_at(header, 28, 6) == 24)  # bits, and no compression
    )
    with small_enough(*(tf.where(plain, side, 0) for side in (height, width))):
        plain &= (width > 0) & (tf.cast(tf.strings.length(contents), tf.int64) == length)
        known = assert_op(plain, "not a JPEG, PNG, WebP, GIF or plain 24-bit BMP image")
    with tf.control_dependencies([known]):
        return tf.io.decode_bmp(contents, channels=3)


def _gif(contents: tf.Tensor) -> tf.Tensor:
    return _on_canvas(first_frame(contents), "a damaged GIF, or one with two graphic controls")


def first_frame(contents: tf.Tensor) -> FirstFrame:
    """Finds the first frame of a GIF without decoding it; the canvas is as large as Pillow's.

    TensorFlow decodes all frames, thousands perhaps, and larger ones than the header declares.
    """
    data = tf.concat([tf.io.decode_raw(contents, tf.uint8), tf.zeros((1,), tf.uint8)], 0)
    start = _TABLE + _table_size(_byte(data, _SCREEN + 4))
    at, controls, transparent, steps = _after_extensions(data, start)
    flags = _byte(data, at + 9)
    local = at + 10
    codes = local + _table_size(flags)
    end, steps = _after_sub_blocks(data, codes + 1, steps)
    whole = (_byte(data, at) == _IMAGE) & (end < tf.size(data)) & (steps > 0)
    whole &= (controls < 2) & (_byte(data, codes) >= 2) & (_byte(data, codes) <= 8)
    offset, size = _two_sides(data, at + 1), _two_sides(data, at + 5)
    table = tf.where(flags >= 128, local, _TABLE)
    first = tf.stack([_byte(data, table + channel) for channel in range(3)])
    rest = tf.strings.substr(contents, tf.where(whole, at + 5, 0), tf.where(whole, end - at - 5, 0))
    return FirstFrame(
        tf.strings.join([tf.strings.substr(contents, 0, at + 1), b"\0\0\0\0", rest, b";"]),
        whole,
        offset,
        tf.maximum(_two_sides(data, _SCREEN), tf.where(whole, offset + size, 0)),
        tf.cast(first * (1 - transparent), tf.uint8),
    )


def _byte(data: tf.Tensor, at: tf.Tensor | int) -> tf.Tensor:
    """Reads a byte as a number; 0 after the end."""
    return tf.cast(data[tf.minimum(at, tf.size(data) - 1)], tf.int32)


def _two_sides(data: tf.Tensor, at: tf.Tensor | int) -> tf.Tensor:
    """Reads 16-bit numbers of columns and of rows -> (2,) of rows and of columns."""
    low, high, next_low, next_high = (_byte(data, at + place) for place in range(4))
    return tf.stack([next_low + 256 * next_high, low + 256 * high])


def _table_size(flags: tf.Tensor) -> tf.Tensor:
    """Bytes of a table of colors; 0 where there is none."""
    return tf.where(flags >= 128, 3 * tf.bitwise.left_shift(2, flags % 8), 0)


def _after_extensions(data: tf.Tensor, at: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """End of the extensions, number of controls, 1 if one has a transparent color, steps left."""

    def skip(at: tf.Tensor, controls: tf.Tensor, transparent: tf.Tensor, steps: tf.Tensor) -> tuple:
        control = _byte(data, at + 1) == _CONTROL
        transparent = tf.where(control, _byte(data, at + 3) % 2, transparent)
        at, steps = _after_sub_blocks(data, at + 2, steps)
        return at, controls + tf.cast(control, tf.int32), transparent, steps

    return tf.while_loop(
        lambda at, _, __, steps: (_byte(data, at) == _EXTENSION) & (steps > 0),
        skip,
        (at, tf.constant(0), tf.constant(0), tf.constant(_STEPS)),
    )


def _after_sub_blocks(
    data: tf.Tensor, at: tf.Tensor, steps: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """End of a chain of sub-blocks, each with its length before it and the last empty.

    Encoders write all but the last of one length, so a step skips many of that.
    """

    def skip(at: tf.Tensor, steps: tf.Tensor) -> tuple[tf.Tensor, ...]:
        length = _byte(data, at)
        lengths = data[at : at + _LONGEST_RUN * (length + 1) : length + 1]
        equal = tf.cast(lengths == tf.cast(length, tf.uint8), tf.int32)
        run = tf.reduce_sum(tf.math.cumprod(equal))
        return at + run * (length + 1), steps - 1

    at, steps = tf.while_loop(
        lambda at, steps: (_byte(data, at) > 0) & (steps > 0), skip, (at, steps - 1)
    )
    return at + 1, steps
