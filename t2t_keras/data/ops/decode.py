"""Encoded image -> upright 8-bit RGB: the pixels that `images.read_rgb` reads.

TensorFlow decodes JPEG of one or three channels and PNG that nothing turns or animates. All else is
read by Pillow outside of the graph, as TensorFlow's decoders show other pixels there, or crash.
"""

import contextlib
from collections.abc import Callable

import tensorflow as tf

from t2t_keras.data.ops.graph import assert_op, single_op, traced
from t2t_keras.images.constants import MAX_PIXELS, MEAN_COLOR
from t2t_keras.images.decode import ORIENTATION_TAG, decode_rgb

# TensorFlow's default is faster by a tenth and off by up to 5 levels from Pillow's.
DCT_METHOD = "INTEGER_ACCURATE"
UNTURNED = 1  # the orientation of most images; 0 is one that only Pillow can tell

_CONTENTS = [tf.TensorSpec((), tf.string)]
_MARK, _APP1, _SCAN, _END = 0xFF, 0xE1, 0xDA, 0xD9
_EXIF = b"Exif\x00\x00"
_ENTRY = 12  # bytes of a directory's entry: tag, type, count, value
_TRANSPOSED, _MIRRORED, _FLIPPED = (5, 6, 7, 8), (2, 3, 6, 7), (3, 4, 7, 8)  # orientations
# Where a JPEG or a PNG may say how it is turned, or animated.
_JPEG_MARKS = (rb"Exif\x00\x00", b"tiff:Orientation")
_PNG_MARKS = (b"eXIf", b"iTXt", b"zTXt", b"Raw profile type", b"acTL")


@traced(input_signature=_CONTENTS)
def decode_image(contents: tf.Tensor) -> tf.Tensor:
    """Decodes an image of any kind that `images.read_rgb` reads, to the same pixels.

    Raises a `tf.errors.InvalidArgumentError` if `contents`, a () string, is no such image, damaged,
    or declares more than `MAX_PIXELS` pixels; then nothing is decoded.
    """
    size, orientation = plain_jpeg(contents)
    image = tf.cond(
        orientation > 0,
        lambda: decode_jpeg(contents, size, orientation),
        lambda: _not_plain_jpeg(contents),
    )
    return tf.ensure_shape(image, (None, None, 3))


def plain_jpeg(contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Reads (height, width) and orientation of a JPEG; 0 each where Pillow must read the file."""

    def header() -> tuple[tf.Tensor, ...]:
        shape = tf.image.extract_jpeg_shape(contents)
        plain = (shape[2] == 1) | (shape[2] == 3)
        return shape[:2], tf.cond(plain, lambda: jpeg_orientation(contents), lambda: 0)

    return tf.cond(is_jpeg(contents), header, lambda: (tf.zeros((2,), tf.int32), 0))


def is_jpeg(contents: tf.Tensor) -> tf.Tensor:
    """Tells whether an encoded image begins as a JPEG; () bool."""
    return tf.strings.substr(contents, 0, 3) == b"\xff\xd8\xff"


def decode_jpeg(contents: tf.Tensor, size: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Decodes a JPEG of a known size and orientation, upright."""
    with small_enough(*tf.unstack(size)):
        image = tf.io.decode_jpeg(contents, channels=3, dct_method=DCT_METHOD)
    return tf.cond(orientation == UNTURNED, lambda: image, lambda: _upright(image, orientation))


def decode_png(contents: tf.Tensor) -> tf.Tensor:
    """Decodes a PNG and lays it over the mean color where it is transparent."""
    sides = tf.io.decode_raw(tf.strings.substr(contents, 16, 8), tf.int32, little_endian=False)
    sides = tf.cast(tf.bitcast(tf.ensure_shape(sides, (2,)), tf.uint32), tf.int64)
    width, height = tf.unstack(sides)
    with small_enough(height, width):
        return without_alpha(tf.io.decode_png(contents))


@single_op(input_signature=_CONTENTS)
def _not_plain_jpeg(contents: tf.Tensor) -> tf.Tensor:
    is_png = tf.strings.substr(contents, 0, 16) == b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"
    return tf.cond(
        is_png & ~contains(contents, _PNG_MARKS),
        lambda: decode_png(contents),
        lambda: tf.numpy_function(decode_rgb, [contents], tf.uint8, stateful=False),
    )


def contains(contents: tf.Tensor, marks: tuple[bytes, ...]) -> tf.Tensor:
    """Tells whether one of the marks is anywhere in a file."""
    rest = contents  # Replacing is quicker than matching, and one mark at a time than alternatives.
    for mark in marks:
        rest = tf.strings.regex_replace(rest, mark, b"", replace_global=False)
    return tf.strings.length(rest) < tf.strings.length(contents)


def without_alpha(image: tf.Tensor) -> tf.Tensor:
    """Gray, gray + alpha, RGB or RGBA -> RGB, laid over the mean color in integers."""
    channels = tf.shape(image)[-1]
    with_alpha = channels % 2 == 0
    colors = channels - tf.cast(with_alpha, tf.int32)
    color = tf.tile(image[..., :colors], (1, 1, 3 // colors))

    def composite() -> tf.Tensor:
        over, alpha = tf.cast(color, tf.int32), tf.cast(image[..., -1:], tf.int32)
        mixed = over * alpha + tf.constant(MEAN_COLOR, tf.int32) * (255 - alpha)
        return tf.cast((mixed + 127) // 255, tf.uint8)

    return tf.cond(with_alpha, composite, lambda: color)


def small_enough(height: tf.Tensor, width: tf.Tensor) -> contextlib.AbstractContextManager:
    """Has all ops inside wait for the check of the declared size."""
    pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
    checked = assert_op(pixels <= MAX_PIXELS, "too many pixels declared", pixels)
    return tf.control_dependencies([checked])


@single_op(input_signature=[tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((), tf.int32)])
def _upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    def turned_if(orientations: tuple[int, ...], turn: Callable, image: tf.Tensor) -> tf.Tensor:
        turns = tf.reduce_any(orientation == orientations)
        return tf.cond(turns, lambda: turn(image), lambda: image)

    image = turned_if(_TRANSPOSED, lambda x: tf.transpose(x, (1, 0, 2)), image)
    image = turned_if(_MIRRORED, lambda x: tf.reverse(x, (1,)), image)
    return turned_if(_FLIPPED, lambda x: tf.reverse(x, (0,)), image)


def jpeg_orientation(contents: tf.Tensor) -> tf.Tensor:
    """Finds a JPEG's orientation, () int32: 1 to 8, or 0 where it is not plainly said."""
    marked = contains(contents, _JPEG_MARKS)
    return tf.cond(marked, lambda: _exif_orientation(contents), lambda: UNTURNED)


@single_op(input_signature=_CONTENTS)
def _exif_orientation(contents: tf.Tensor) -> tf.Tensor:
    """Walks a JPEG's segments to its first EXIF block, and reads that."""
    length = tf.strings.length(contents)

    def step(at: tf.Tensor, exif_at: tf.Tensor, exif_length: tf.Tensor) -> tuple[tf.Tensor, ...]:
        head = _bytes(tf.strings.substr(contents, at, 4))
        marker, size = head[1], head[2] * 256 + head[3]
        over = (head[0] != _MARK) | (marker == _SCAN) | (marker == _END)
        content = tf.strings.substr(contents, at + 4, tf.minimum(len(_EXIF), length - at - 4))
        found = (marker == _APP1) & (content == _EXIF) & ~over
        exif_at = tf.where(found, at + 4 + len(_EXIF), -1)
        forward = tf.where(marker == _MARK, 1, 2 + size)  # a segment may begin with filling
        return tf.where(over, length, at + forward), exif_at, size - 2 - len(_EXIF)

    _, exif_at, exif_length = tf.while_loop(
        lambda at, exif_at, _: (at + 4 <= length) & (exif_at < 0), step, (2, -1, 0)
    )
    return tf.cond(
        (exif_at >= 0) & (exif_length >= 8) & (exif_at + exif_length <= length),
        lambda: _tiff_orientation(tf.strings.substr(contents, exif_at, exif_length)),
        lambda: 0,
    )


def _tiff_orientation(tiff: tf.Tensor) -> tf.Tensor:
    """Reads the first directory of an EXIF block of at least 8 bytes; 0 if anything is odd."""
    data = _bytes(tiff)
    little = tf.reduce_all(data[:4] == (0x49, 0x49, 42, 0))
    valid = little | tf.reduce_all(data[:4] == (0x4D, 0x4D, 0, 42))
    start, length = _long(data[4:8], little), tf.size(data)
    valid &= (start >= 0) & (start < length - 1)
    start = tf.where(valid, start, 0)
    count = _short(data[start : start + 2], little)
    valid &= count <= (length - start - 2) // _ENTRY
    count = tf.where(valid, count, 0)
    entries = tf.reshape(data[start + 2 : start + 2 + count * _ENTRY], (count, _ENTRY))
    matches = tf.where(_short(entries[:, :2], little) == ORIENTATION_TAG)[:, 0]

    def value() -> tf.Tensor:
        entry = entries[matches[0]]
        kind, number = _short(entry[2:4], little), _long(entry[4:8], little)
        as_short, as_long = _short(entry[8:10], little), _long(entry[8:12], little)
        orientation = tf.where(kind == 3, as_short, tf.where(kind == 4, as_long, 0))
        plain = (number == 1) & (orientation >= 1) & (orientation <= 8)
        return tf.where(plain, orientation, 0)

    return tf.cond(tf.size(matches) == 1, value, lambda: 0)


def _short(values: tf.Tensor, little: tf.Tensor) -> tf.Tensor:
    first, second = values[..., 0], values[..., 1]
    return tf.where(little, first + second * 256, first * 256 + second)


def _long(values: tf.Tensor, little: tf.Tensor) -> tf.Tensor:
    first, second = _short(values[:2], little), _short(values[2:], little)
    return tf.where(little, first + second * 65536, first * 65536 + second)


def _bytes(text: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.io.decode_raw(text, tf.uint8), tf.int32)
