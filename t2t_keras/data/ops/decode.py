"""Encoded image -> upright 8-bit RGB inside a graph: the pixels `images.read_rgb` reads."""

from typing import NamedTuple

import tensorflow as tf

from t2t_keras.images.constants import MAX_PIXELS, MEAN_COLOR
from t2t_keras.images.decode import FLIPPED, MIRRORED, ORIENTATION_TAG, TRANSPOSED

_MARK = 0xFF
_APP1, _SCAN, _END = 0xE1, 0xDA, 0xD9
_EXIF = b"Exif\x00\x00"
_ENTRY = 12


def jpeg_orientation(contents: tf.Tensor) -> tf.Tensor:
    """Finds the EXIF orientation of an encoded JPEG.

    Args:
        contents: () string.

    Returns:
        () int32, 1 to 8; 1, upright, where nothing valid is said.
    """
    return tf.cond(may_be_turned(contents), lambda: _segment_orientation(contents), lambda: 1)


def may_be_turned(contents: tf.Tensor) -> tf.Tensor:
    """Whether an encoded JPEG may have an EXIF block, which most of a dataset have not; () bool.

    It is looked for by its mark alone, which is quick, and quicker by replacing than by matching
    the whole file.
    """
    rest = tf.strings.regex_replace(contents, rb"Exif\x00\x00", b"", replace_global=False)
    return tf.strings.length(rest) < tf.strings.length(contents)


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns an (h, w, 3) uint8 image upright; `orientation` is () int32."""
    return tf.cond(orientation == 1, lambda: image, lambda: _turned(image, orientation))


# Few images need it: where none does it is a single op, as `decode._not_jpeg`.
@tf.function(
    input_signature=[tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((), tf.int32)],
    autograph=False,
    experimental_attributes={"_noinline": True},
)
def _turned(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    swapped = _when(image, orientation, TRANSPOSED, lambda x: tf.transpose(x, (1, 0, 2)))
    mirrored = _when(swapped, orientation, MIRRORED, lambda x: tf.reverse(x, (1,)))
    return _when(mirrored, orientation, FLIPPED, lambda x: tf.reverse(x, (0,)))


def _when(image, orientation, orientations, turn):
    return tf.cond(tf.reduce_any(orientation == orientations), lambda: turn(image), lambda: image)


# A single op too.
@tf.function(
    input_signature=[tf.TensorSpec((), tf.string)],
    autograph=False,
    experimental_attributes={"_noinline": True},
)
def _segment_orientation(contents: tf.Tensor) -> tf.Tensor:
    """Walks a JPEG's segments to its EXIF block, and reads that."""
    length = tf.strings.length(contents)

    def searching(at, exif_at, exif_length):
        return (at + 4 <= length) & (exif_at < 0)

    def step(at, exif_at, exif_length):
        head = _bytes(tf.strings.substr(contents, at, 4))
        marker, size = head[1], head[2] * 256 + head[3]
        over = (head[0] != _MARK) | (marker == _SCAN) | (marker == _END)
        content = tf.strings.substr(contents, at + 4, tf.minimum(len(_EXIF), length - at - 4))
        found = (marker == _APP1) & (content == _EXIF) & ~over
        exif_at = tf.where(found, at + 4 + len(_EXIF), -1)
        forward = tf.where(marker == _MARK, 1, 2 + size)  # a segment may begin with filling
        return tf.where(over, length, at + forward), exif_at, size - 2 - len(_EXIF)

    _, exif_at, exif_length = tf.while_loop(searching, step, (2, -1, 0))
    return tf.cond(
        (exif_at >= 0) & (exif_length >= 8) & (exif_at + exif_length <= length),
        lambda: _tiff_orientation(tf.strings.substr(contents, exif_at, exif_length)),
        lambda: 1,
    )


def _tiff_orientation(tiff: tf.Tensor) -> tf.Tensor:
    """Reads the first directory of an EXIF block of at least 8 bytes."""
    data = _bytes(tiff)
    little = tf.reduce_all(data[:2] == (0x49, 0x49))
    valid = little | tf.reduce_all(data[:2] == (0x4D, 0x4D))
    high, low = _number(data[4:6], little), _number(data[6:8], little)
    start = tf.where(little, high + low * 65536, high * 65536 + low)
    length = tf.size(data)
    valid &= (start >= 0) & (start < length - 1)
    start = tf.where(valid, start, 0)
    count = tf.minimum(_number(data[start : start + 2], little), (length - start - 2) // _ENTRY)
    entries = tf.reshape(data[start + 2 : start + 2 + count * _ENTRY], (count, _ENTRY))
    matches = tf.where(_number(entries[:, :2], little) == ORIENTATION_TAG)[:, 0]
    valid &= tf.size(matches) > 0

    def value():
        entry = entries[matches[0]]
        orientation = _number(entry[8:10], little)
        short = _number(entry[2:4], little) == 3
        return tf.where(short & (orientation >= 1) & (orientation <= 8), orientation, 1)

    return tf.cond(valid, value, lambda: 1)


def _number(two_bytes: tf.Tensor, little: tf.Tensor) -> tf.Tensor:
    first, second = two_bytes[..., 0], two_bytes[..., 1]
    return tf.where(little, first + second * 256, first * 256 + second)


def _bytes(text: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.io.decode_raw(text, tf.uint8), tf.int32)


_SCREEN, _TABLE = 6, 13  # where the screen's size and the colors of all frames stand
_EXTENSION, _IMAGE, _CONTROL = 0x21, 0x2C, 0xF9
_LONGEST_RUN = 256  # sub-blocks passed over in one step
_STEPS = 4096  # no image needs more; a file made to need them would cost seconds


class FirstFrame(NamedTuple):
    """Where a frame lies, and a GIF of it alone, whose upper left corner is the frame's.

    Args:
        contents: () string.
        whole: () bool; where it is false, only the header's size is known, and is `canvas`.
        size: (2,) int32, height and width.
        offset: (2,) int32, the rows above it and the columns left of it.
        canvas: (2,) int32, height and width of the image that it lies on.
        ground: (3,) uint8, the color around it: black where the frame has transparent pixels, as
            they are themselves.
    """

    contents: tf.Tensor
    whole: tf.Tensor
    size: tf.Tensor
    offset: tf.Tensor
    canvas: tf.Tensor
    ground: tf.Tensor


def first_frame(contents: tf.Tensor) -> FirstFrame:
    """Finds the first frame without decoding it; the image is as large as Pillow has it.

    A header's size bounds nothing: frames may be larger, and there may be thousands of them, which
    TensorFlow decodes all before it gives the first.

    Args:
        contents: () string, which begins as a GIF does.
    """
    data = tf.concat([tf.io.decode_raw(contents, tf.uint8), tf.zeros((1,), tf.uint8)], 0)
    start = _TABLE + _table_size(_byte(data, _SCREEN + 4))
    at, transparent, steps = _behind_extensions(data, start)
    flags = _byte(data, at + 9)
    local = at + 10
    end, steps = _behind_sub_blocks(data, local + _table_size(flags) + 1, steps)
    whole = (_byte(data, at) == _IMAGE) & (end < tf.size(data)) & (steps > 0)
    offset, size = _two_sides(data, at + 1), _two_sides(data, at + 5)
    table = tf.where(flags >= 128, local, _TABLE)
    ground = tf.stack([_byte(data, table + channel) for channel in range(3)]) * (1 - transparent)
    rest = tf.strings.substr(contents, at + 5, end - at - 5)
    return FirstFrame(
        tf.strings.join([tf.strings.substr(contents, 0, at + 1), b"\0\0\0\0", rest, b";"]),
        whole,
        size,
        offset,
        tf.maximum(_two_sides(data, _SCREEN), tf.where(whole, offset + size, 0)),
        tf.cast(ground, tf.uint8),
    )


def _byte(data: tf.Tensor, at: tf.Tensor | int) -> tf.Tensor:
    """A byte as a number; behind the end it is 0."""
    return tf.cast(data[tf.minimum(at, tf.size(data) - 1)], tf.int32)


def _two_sides(data: tf.Tensor, at: tf.Tensor | int) -> tf.Tensor:
    """Two 16-bit numbers, of columns and of rows -> (2,) of rows and of columns."""
    low, high, next_low, next_high = (_byte(data, at + place) for place in range(4))
    return tf.stack([next_low + 256 * next_high, low + 256 * high])


def _table_size(flags: tf.Tensor) -> tf.Tensor:
    """Bytes of a table of colors; 0 where there is none."""
    return tf.where(flags >= 128, 3 * tf.bitwise.left_shift(2, flags % 8), 0)


def _behind_extensions(data: tf.Tensor, at: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Where the extensions end, whether the last control has a transparent color, steps left."""

    def pass_over(at, transparent, steps):
        control = _byte(data, at + 1) == _CONTROL
        transparent = tf.where(control, _byte(data, at + 3) % 2, transparent)
        at, steps = _behind_sub_blocks(data, at + 2, steps)
        return at, transparent, steps

    return tf.while_loop(
        lambda at, _, steps: (_byte(data, at) == _EXTENSION) & (steps > 0),
        pass_over,
        (at, tf.constant(0), tf.constant(_STEPS)),
    )


def _behind_sub_blocks(
    data: tf.Tensor, at: tf.Tensor, steps: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Where a chain of sub-blocks ends, each with its length before it and the last empty.

    Encoders write all but the last of one length, so a step passes over many of that.
    """

    def pass_over(at, steps):
        length = _byte(data, at)
        equal = data[at : at + _LONGEST_RUN * (length + 1) : length + 1] == tf.cast(
            length, tf.uint8
        )
        run = tf.reduce_sum(tf.math.cumprod(tf.cast(equal, tf.int32)))
        return at + run * (length + 1), steps - 1

    at, steps = tf.while_loop(
        lambda at, steps: (_byte(data, at) > 0) & (steps > 0), pass_over, (at, steps - 1)
    )
    return at + 1, steps


# TensorFlow's default is faster by a tenth and off by up to 5 levels from Pillow's.
DCT_METHOD = "INTEGER_ACCURATE"
_HEADER = 32  # bytes; all sizes lie in them but that of a GIF's frame


# One trace for all pipelines of a process; plain Python control flow, so nothing to convert.
@tf.function(input_signature=[tf.TensorSpec((), tf.string)], autograph=False)
def decode_image(contents: tf.Tensor) -> tf.Tensor:
    """Decodes a JPEG, PNG, WebP, GIF (first frame) or 24-bit BMP.

    The rules for gray, palette, CMYK, 16-bit, transparent and turned images are those of
    `images.read_rgb`. What declares more than `MAX_PIXELS` pixels, in its header or in a GIF's
    first frame, is refused before anything is decoded. No later frame is decoded at all.

    Args:
        contents: () string.

    Returns:
        (h, w, 3) uint8.

    Raises:
        tf.errors.InvalidArgumentError: The bytes are no such image, or damaged, or too large.
    """
    image = tf.cond(is_jpeg(contents), lambda: _jpeg(contents), lambda: _not_jpeg(contents))
    return tf.ensure_shape(image, (None, None, 3))


def is_jpeg(contents: tf.Tensor) -> tf.Tensor:
    """Whether an encoded image begins as a JPEG; () bool."""
    return tf.strings.substr(contents, 0, 3) == b"\xff\xd8\xff"


# TensorFlow copies the branches of a condition into the graph around it, and visits every op of the
# one that is not taken, for each image. This one is large, and stays a single op.
@tf.function(
    input_signature=[tf.TensorSpec((), tf.string)],
    autograph=False,
    experimental_attributes={"_noinline": True},
)
def _not_jpeg(contents: tf.Tensor) -> tf.Tensor:
    header = tf.cast(tf.io.decode_raw(contents, tf.uint8, fixed_length=_HEADER), tf.int32)
    return tf.case(
        [
            (_begins(header, b"\x89PNG\r\n\x1a\n"), lambda: _png(contents, header)),
            (_is_webp(header), lambda: _webp(contents, header)),
            (_begins(header, b"GIF8"), lambda: _gif(contents)),
        ],
        default=lambda: _bmp(contents, header),
    )


def _jpeg(contents: tf.Tensor) -> tf.Tensor:
    size = tf.image.extract_jpeg_shape(contents)
    with small_enough(size[0], size[1]):
        image = tf.io.decode_jpeg(contents, channels=3, dct_method=DCT_METHOD)
    return upright(image, jpeg_orientation(contents))


def _png(contents: tf.Tensor, header: tf.Tensor) -> tf.Tensor:
    with small_enough(_big_endian(header[20:24]), _big_endian(header[16:20])):
        return _without_alpha(tf.io.decode_png(contents))


def _gif(contents: tf.Tensor) -> tf.Tensor:
    frame = first_frame(contents)
    with small_enough(*tf.unstack(frame.canvas)):
        whole = tf.debugging.Assert(frame.whole, ["a damaged GIF"])
    with tf.control_dependencies([whole]):
        image = _decode_any(frame.contents)
    behind = frame.canvas - frame.offset - frame.size
    around = tf.concat([tf.stack([frame.offset, behind], axis=1), [[0, 0]]], axis=0)
    inside = tf.pad(tf.ones_like(image[..., :1], tf.bool), around)
    return tf.where(inside, tf.pad(image, around), frame.ground)


def _webp(contents: tf.Tensor, header: tf.Tensor) -> tf.Tensor:
    lossless = _little_endian(header[21:25])
    height, width = tf.case(
        [
            (
                _begins(header[12:], b"VP8X"),
                lambda: (_little_endian(header[27:30]) + 1, _little_endian(header[24:27]) + 1),
            ),
            (
                _begins(header[12:], b"VP8L"),
                lambda: ((lossless // 16384) % 16384 + 1, lossless % 16384 + 1),
            ),
        ],
        default=lambda: (
            _little_endian(header[28:30]) % 16384,
            _little_endian(header[26:28]) % 16384,
        ),
    )
    with small_enough(height, width):
        return _without_alpha(_decode_any(contents))


def _bmp(contents: tf.Tensor, header: tf.Tensor) -> tf.Tensor:
    # TensorFlow reads a palette's indices as gray, so only true color passes.
    true_color = _begins(header, b"BM") & (_little_endian(header[28:30]) == 24)
    known = tf.debugging.Assert(true_color, ["not a JPEG, PNG, WebP, GIF or 24-bit BMP image"])
    # A negative height says that the rows come from the top.
    height, width = (_signed(_little_endian(header[at : at + 4])) for at in (22, 18))
    with tf.control_dependencies([known]), small_enough(tf.abs(height), tf.abs(width)):
        return tf.io.decode_bmp(contents, channels=3)


def _is_webp(header: tf.Tensor) -> tf.Tensor:
    return _begins(header, b"RIFF") & _begins(header[8:], b"WEBP")


def _decode_any(contents: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_image(contents, expand_animations=False)
    return tf.ensure_shape(image, (None, None, None))


def _without_alpha(image: tf.Tensor) -> tf.Tensor:
    """Gray, gray + alpha, RGB or RGBA -> RGB, laid over the mean color in integers."""
    channels = tf.shape(image)[-1]
    with_alpha = channels % 2 == 0
    colors = channels - tf.cast(with_alpha, tf.int32)
    color = tf.tile(image[..., :colors], (1, 1, 3 // colors))

    def composite():
        over, alpha = tf.cast(color, tf.int32), tf.cast(image[..., -1:], tf.int32)
        mixed = over * alpha + tf.constant(MEAN_COLOR, tf.int32) * (255 - alpha)
        return tf.cast((mixed + 127) // 255, tf.uint8)

    return tf.cond(with_alpha, composite, lambda: color)


def small_enough(height: tf.Tensor, width: tf.Tensor):
    """What is decoded inside waits for the check of the declared size."""
    pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
    # Not `tf.debugging.Assert`: it makes a condition of it, a dozen ops for each image.
    data = ["too many pixels declared", pixels]
    checked = tf.raw_ops.Assert(condition=pixels <= MAX_PIXELS, data=data)
    return tf.control_dependencies([checked])


def _begins(header: tf.Tensor, magic: bytes) -> tf.Tensor:
    return tf.reduce_all(header[: len(magic)] == list(magic))


def _little_endian(values: tf.Tensor) -> tf.Tensor:
    weights = [256**place for place in range(values.shape[0])]
    return tf.reduce_sum(tf.cast(values, tf.int64) * weights)


def _signed(value: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.cast(value, tf.int32), tf.int64)


def _big_endian(values: tf.Tensor) -> tf.Tensor:
    return _little_endian(values[::-1])
