"""`decode_image` without Python, for graphs that are served: GIF, WebP and BMP in TensorFlow's ops.

Files that TensorFlow's decoders show wrong or crash on are refused: CMYK without Adobe's mark,
animated WebP without alpha, BMP that is not 24-bit, and a file turned by more than one plain EXIF
block says.
"""

from typing import NamedTuple

import tensorflow as tf

from t2t_keras.data.ops.decode import (
    UNTURNED,
    XMP_TURN,
    bytes_of,
    contains,
    decode_jpeg,
    decode_png,
    exif_orientation,
    is_jpeg,
    jpeg_orientation,
    long_of,
    small_enough,
    untold,
    upright,
    without_alpha,
)
from t2t_keras.data.ops.graph import assert_op, single_op, traced

_CONTENTS = [tf.TensorSpec((), tf.string)]
_HEADER = 32  # bytes; all sizes lie in them but that of a GIF's frame
_SCREEN, _TABLE = 6, 13  # where a GIF's screen size and the colors of all its frames lie
_EXTENSION, _IMAGE, _CONTROL = 0x21, 0x2C, 0xF9
# Where a PNG may say how it is turned; after EXIF, whatever only Pillow reads.
_PNG_TURNS = (b"eXIf", XMP_TURN, rb"XML:com.adobe.xmp\x00\x01", b"Raw profile type exif")
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
    known = (shape[2] != 4) | contains(contents, (b"Adobe",))
    with tf.control_dependencies([assert_op(known, "CMYK without Adobe's mark")]):
        orientation = jpeg_orientation(contents)
    with tf.control_dependencies([_told(orientation)]):
        return decode_jpeg(contents, shape[:2], orientation)


def _told(orientation: tf.Tensor) -> tf.Operation:
    return assert_op(orientation > 0, "an orientation that is not plainly said")


def _chunk_orientation(contents: tf.Tensor, png: bool) -> tf.Tensor:
    """Walks the chunks of a PNG or WebP to EXIF's: of several, PNG's last and WebP's first."""
    start, name, size_at, around = (8, b"eXIf", 0, 12) if png else (12, b"EXIF", 4, 8)
    length, marks = tf.strings.length(contents), _PNG_TURNS[1:] if png else (XMP_TURN,)

    def step(at: tf.Tensor, found: tf.Tensor, size: tf.Tensor, steps: tf.Tensor) -> tuple:
        head = tf.strings.substr(contents, at, 8)
        long = long_of(bytes_of(head)[size_at : size_at + 4], not png)
        is_exif = tf.strings.substr(head, 4 - size_at, 4) == name
        end = at + around + long + (0 if png else long % 2)
        end = tf.where((long < 0) | (long > length), length, end)
        return end, tf.where(is_exif, at + 8, found), tf.where(is_exif, long, size), steps - 1

    _, at, size, steps = tf.while_loop(
        lambda at, found, _, steps: (at + 8 <= length) & (png | (found < 0)) & (steps > 0),
        step,
        (start, -1, 0, _STEPS),
    )
    orientation = tf.cond(
        at < 0,
        lambda: untold(contents, marks),
        lambda: exif_orientation(contents, at, size, marks),
    )
    return tf.where(steps > 0, orientation, 0)


def _png(contents: tf.Tensor) -> tf.Tensor:
    orientation = tf.cond(
        contains(contents, _PNG_TURNS),
        lambda: _chunk_orientation(contents, png=True),
        lambda: UNTURNED,
    )
    with tf.control_dependencies([_told(orientation)]):
        return upright(decode_png(contents), orientation)


@single_op(input_signature=_CONTENTS)
def _not_jpeg(contents: tf.Tensor) -> tf.Tensor:
    header = tf.cast(tf.io.decode_raw(contents, tf.uint8, fixed_length=_HEADER), tf.int32)
    is_webp = _begins(header, b"RIFF") & _begins(header[8:], b"WEBP")
    return tf.case(
        [
            (_begins(header, b"\x89PNG\r\n\x1a\n"), lambda: _png(contents)),
            (is_webp, lambda: _webp(contents, header)),
            (_begins(header, b"GIF8"), lambda: _gif(contents)),
        ],
        default=lambda: _bmp(contents, header),
    )


def _webp(contents: tf.Tensor, header: tf.Tensor) -> tf.Tensor:
    extended, lossless = (_begins(header[12:], kind) for kind in (b"VP8X", b"VP8L"))
    bits = _little_endian(header[21:25])
    sizes = (  # (height, width) in each kind of header
        (_little_endian(header[27:30]) + 1, _little_endian(header[24:27]) + 1),
        (bits // 16384 % 16384 + 1, bits % 16384 + 1),
        (_little_endian(header[28:30]) % 16384, _little_endian(header[26:28]) % 16384),
    )
    height, width = tf.unstack(
        tf.where(extended, sizes[0], tf.where(lossless, sizes[1], sizes[2])), 2
    )
    # TensorFlow writes four channels of such an animation into memory for three.
    animated, alpha = header[20] // 2 % 2 > 0, header[20] // 16 % 2 > 0
    safe = assert_op(~(extended & animated & ~alpha), "an animated WebP without alpha")
    described = extended & (header[20] // 4 % 4 > 0)  # by EXIF or XMP
    orientation = tf.cond(
        described, lambda: _chunk_orientation(contents, png=False), lambda: UNTURNED
    )
    with tf.control_dependencies([safe, _told(orientation)]), small_enough(height, width):
        return upright(without_alpha(_decode_any(contents)), orientation)


def _bmp(contents: tf.Tensor, header: tf.Tensor) -> tf.Tensor:
    # TensorFlow reads a palette's indices as gray, so only true color passes.
    true_color = _begins(header, b"BM") & (_little_endian(header[28:30]) == 24)
    known = tf.debugging.Assert(true_color, ["not a JPEG, PNG, WebP, GIF or 24-bit BMP image"])
    # A negative height says that the rows come from the top.
    height, width = (
        tf.abs(tf.cast(_little_endian(header[at : at + 4]), tf.int32)) for at in (22, 18)
    )
    with tf.control_dependencies([known]), small_enough(height, width):
        return tf.io.decode_bmp(contents, channels=3)


def _gif(contents: tf.Tensor) -> tf.Tensor:
    frame = first_frame(contents)
    with small_enough(*tf.unstack(frame.canvas)):
        whole = tf.debugging.Assert(frame.whole, ["a damaged GIF"])
    with tf.control_dependencies([whole]):
        image = _decode_any(frame.contents)
    after = frame.canvas - frame.offset - frame.size
    around = tf.concat([tf.stack([frame.offset, after], axis=1), [[0, 0]]], axis=0)
    inside = tf.pad(tf.ones_like(image[..., :1], tf.bool), around)
    return tf.where(inside, tf.pad(image, around), frame.background)


def _decode_any(contents: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_image(contents, expand_animations=False)
    return tf.ensure_shape(image, (None, None, None))


def _begins(header: tf.Tensor, magic: bytes) -> tf.Tensor:
    return tf.reduce_all(header[: len(magic)] == list(magic))


def _little_endian(values: tf.Tensor) -> tf.Tensor:
    weights = [256**place for place in range(values.shape[0])]
    return tf.reduce_sum(tf.cast(values, tf.int64) * weights)


class FirstFrame(NamedTuple):
    """A GIF's first frame alone, with its place on the canvas; sizes are (rows, columns)."""

    contents: tf.Tensor  # () string, a GIF whose upper left corner is the frame's
    whole: tf.Tensor  # () bool; where it is false, only the header's size is known, as `canvas`
    size: tf.Tensor  # (2,) int32
    offset: tf.Tensor  # (2,) int32, of its upper left corner
    canvas: tf.Tensor  # (2,) int32, of the image that it lies on
    background: tf.Tensor  # (3,) uint8 around it; black, as what is transparent in the frame


def first_frame(contents: tf.Tensor) -> FirstFrame:
    """Finds the first frame of a GIF without decoding it; the canvas is as large as Pillow's.

    TensorFlow decodes all frames, thousands perhaps, and larger ones than the header declares.
    """
    data = tf.concat([tf.io.decode_raw(contents, tf.uint8), tf.zeros((1,), tf.uint8)], 0)
    start = _TABLE + _table_size(_byte(data, _SCREEN + 4))
    at, transparent, steps = _after_extensions(data, start)
    flags = _byte(data, at + 9)
    local = at + 10
    end, steps = _after_sub_blocks(data, local + _table_size(flags) + 1, steps)
    whole = (_byte(data, at) == _IMAGE) & (end < tf.size(data)) & (steps > 0)
    offset, size = _two_sides(data, at + 1), _two_sides(data, at + 5)
    table = tf.where(flags >= 128, local, _TABLE)
    first = tf.stack([_byte(data, table + channel) for channel in range(3)])
    rest = tf.strings.substr(contents, at + 5, end - at - 5)
    return FirstFrame(
        tf.strings.join([tf.strings.substr(contents, 0, at + 1), b"\0\0\0\0", rest, b";"]),
        whole,
        size,
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


def _after_extensions(data: tf.Tensor, at: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """End of the extensions, 1 if the last control has a transparent color, and steps left."""

    def skip(at: tf.Tensor, transparent: tf.Tensor, steps: tf.Tensor) -> tuple[tf.Tensor, ...]:
        control = _byte(data, at + 1) == _CONTROL
        transparent = tf.where(control, _byte(data, at + 3) % 2, transparent)
        at, steps = _after_sub_blocks(data, at + 2, steps)
        return at, transparent, steps

    return tf.while_loop(
        lambda at, _, steps: (_byte(data, at) == _EXTENSION) & (steps > 0),
        skip,
        (at, tf.constant(0), tf.constant(_STEPS)),
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
