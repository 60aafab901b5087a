"""Encoded image -> upright 8-bit RGB: the pixels that `images.read_rgb` reads.

TensorFlow decodes JPEG of one or three channels and PNG that nothing turns or animates. All else is
read by Pillow outside of the graph, as TensorFlow's decoders show other pixels there, or crash.
"""

import contextlib
from collections.abc import Callable

import tensorflow as tf

from t2t_keras.data.ops.chunks import bytes_of, long_of, plain_png, short_of
from t2t_keras.data.ops.graph import assert_op, single_op, traced
from t2t_keras.images.constants import MAX_PIXELS, MAX_SIDE, MEAN_COLOR
from t2t_keras.images.decode import ORIENTATION_TAG, STRIP, decode_rgb
from t2t_keras.images.png import SIGNATURE

# TensorFlow's default is faster by a tenth and off by up to 5 levels from Pillow's.
DCT_METHOD = "INTEGER_ACCURATE"
UNTURNED = 1  # the orientation of most images; 0 is one that only Pillow can tell

_CONTENTS = [tf.TensorSpec((), tf.string)]
_MARK, _APP1, _SCAN = 0xFF, 0xE1, 0xDA
_WITHOUT_LENGTH = (0, 1, *range(0xD0, 0xDA))
_EXIF = b"Exif\x00\x00"
_ENTRY = 12  # bytes of a directory's entry: tag, type, count, value
_UNITS = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4)  # bytes of each type
_TRANSPOSED, _MIRRORED, _FLIPPED = (5, 6, 7, 8), (2, 3, 6, 7), (3, 4, 7, 8)  # orientations
XMP_TURN = rb'tiff:Orientation(="|>)[2-8]'  # is read where EXIF is silent
# Where a JPEG or a PNG may say how it is turned; the last two are read by Pillow alone.
_JPEG_MARKS = (rb"Exif\x00\x00", XMP_TURN)
PNG_MARKS = (b"eXIf", XMP_TURN, rb"XML:com.adobe.xmp\x00\x01", b"Raw profile type exif")


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
    return upright(image, orientation)


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns an image of an EXIF orientation from 1 to 8."""
    return tf.cond(orientation == UNTURNED, lambda: image, lambda: _turned(image, orientation))


def decode_png(contents: tf.Tensor) -> tf.Tensor:
    """Decodes a PNG as it lies and lays it over the mean color where it is transparent."""
    plain, size = plain_png(contents)
    with small_enough(*tf.unstack(size)):
        return without_alpha(tf.io.decode_png(plain))


@single_op(input_signature=_CONTENTS)
def _not_plain_jpeg(contents: tf.Tensor) -> tf.Tensor:
    begin = SIGNATURE + b"\0\0\0\x0dIHDR"
    is_png = tf.strings.substr(contents, 0, len(begin)) == begin
    return tf.cond(
        is_png & ~contains(contents, PNG_MARKS),
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
    height, width, channels = tf.unstack(tf.shape(image))
    with_alpha = channels % 2 == 0
    colors = channels - tf.cast(with_alpha, tf.int32)
    rows, eight = tf.maximum(STRIP // width, 1), tf.constant(8, tf.uint16)

    def composite(top: tf.Tensor, strips: tf.TensorArray) -> tuple:
        part = tf.cast(image[top : top + rows], tf.uint16)  # wide enough for all below
        alpha = part[..., -1:]
        mixed = (
            part[..., :colors] * alpha + tf.constant(MEAN_COLOR, tf.uint16) * (255 - alpha) + 128
        )
        mixed += tf.bitwise.right_shift(mixed, eight)  # with this, / 256 is / 255, rounded
        mixed = tf.cast(tf.bitwise.right_shift(mixed, eight), tf.uint8)
        return top + rows, strips.write(top // rows, mixed)

    def composited() -> tf.Tensor:
        count = (height + rows - 1) // rows
        strips = tf.TensorArray(tf.uint8, count, infer_shape=False, element_shape=(None, None, 3))
        steps = (lambda top, _: top < height, composite, (0, strips))
        return tf.while_loop(*steps, parallel_iterations=1)[1].concat()

    return tf.cond(with_alpha, composited, lambda: tf.tile(image, (1, 1, 3 // colors)))


def small_enough(height: tf.Tensor, width: tf.Tensor) -> contextlib.AbstractContextManager:
    """Has all ops inside wait for the check of the declared size."""
    pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
    allowed = (pixels <= MAX_PIXELS) & (tf.maximum(height, width) <= MAX_SIDE)
    checked = assert_op(allowed, "too many pixels declared", pixels)
    return tf.control_dependencies([checked])


@single_op(input_signature=[tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((), tf.int32)])
def _turned(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    def turned_if(orientations: tuple[int, ...], turn: Callable, image: tf.Tensor) -> tf.Tensor:
        turns = tf.reduce_any(orientation == orientations)
        return tf.cond(turns, lambda: turn(image), lambda: image)

    image = turned_if(_TRANSPOSED, lambda x: tf.transpose(x, (1, 0, 2)), image)
    image = turned_if(_MIRRORED, lambda x: tf.reverse(x, (1,)), image)
    return turned_if(_FLIPPED, lambda x: tf.reverse(x, (0,)), image)


def jpeg_orientation(contents: tf.Tensor) -> tf.Tensor:
    """Finds a JPEG's orientation, () int32: 1 to 8, or 0 where it is not plainly said."""
    marked = contains(contents, _JPEG_MARKS)
    return tf.cond(marked, lambda: _segment_orientation(contents), lambda: UNTURNED)


@single_op(input_signature=_CONTENTS)
def _segment_orientation(contents: tf.Tensor) -> tf.Tensor:
    """Walks a JPEG's segments to its first EXIF block, and reads that."""
    length = tf.strings.length(contents)

    def step(at: tf.Tensor, exif_at: tf.Tensor, exif_length: tf.Tensor) -> tuple[tf.Tensor, ...]:
        head = bytes_of(tf.strings.substr(contents, at, 4))
        marker, size = head[1], head[2] * 256 + head[3]
        odd = (head[0] != _MARK) | tf.reduce_any(marker == _WITHOUT_LENGTH)
        over = odd | (marker == _SCAN)
        content = tf.strings.substr(contents, at + 4, tf.minimum(len(_EXIF), length - at - 4))
        found = (marker == _APP1) & (content == _EXIF) & ~over
        exif_at = tf.where(found, at + 4, tf.where(odd, length, -1))  # no block can be read there
        forward = tf.where(marker == _MARK, 1, 2 + size)  # a segment may begin with filling
        return tf.where(over, length, at + forward), exif_at, size - 2

    _, exif_at, exif_length = tf.while_loop(
        lambda at, exif_at, _: (at + 4 <= length) & (exif_at < 0), step, (2, -1, 0)
    )
    return exif_orientation(contents, exif_at, exif_length, (XMP_TURN,))


def exif_orientation(
    contents: tf.Tensor, at: tf.Tensor, length: tf.Tensor, marks: tuple[bytes, ...]
) -> tf.Tensor:
    """Reads the orientation in an EXIF block; 0 if it is odd, or silent and one of `marks` is not.

    `at` is negative where there is no block.
    """
    whole = (at >= 0) & (length >= 0) & (length <= tf.strings.length(contents) - at)
    block = tf.strings.substr(contents, tf.where(whole, at, 0), tf.where(whole, length, 0))
    tiff = tf.strings.regex_replace(block, rb"^Exif\x00\x00", b"", replace_global=False)
    found = tf.cond(tf.strings.length(tiff) >= 8, lambda: _tiff_orientation(tiff), lambda: 0)
    silent = (at < 0) | (found < 0)
    untold = tf.cond(silent, lambda: contains(contents, marks), lambda: False)
    return tf.where(untold, 0, tf.where(silent, UNTURNED, found))


def _tiff_orientation(tiff: tf.Tensor) -> tf.Tensor:
    """Reads the first directory of at least 8 bytes; 0 if anything is odd, -1 if it is silent."""
    data = bytes_of(tiff)
    little = tf.reduce_all(data[:4] == (0x49, 0x49, 42, 0))
    valid = little | tf.reduce_all(data[:4] == (0x4D, 0x4D, 0, 42))
    start, length = long_of(data[4:8], little), tf.size(data)
    valid &= (start >= 0) & (start < length - 1)
    start = tf.where(valid, start, 0)
    count = short_of(data[start : start + 2], little)
    valid &= count <= (length - start - 2) // _ENTRY
    count = tf.where(valid, count, 0)
    entries = tf.reshape(data[start + 2 : start + 2 + count * _ENTRY], (count, _ENTRY))
    # Pillow reads no further than an entry whose values lie after the end.
    kinds = tf.minimum(short_of(entries[:, 2:4], little), len(_UNITS) - 1)
    units = tf.gather(tf.constant(_UNITS, tf.int64), kinds)
    sizes = units * tf.cast(long_of(entries[:, 4:8], little), tf.int64)
    ends = tf.cast(long_of(entries[:, 8:12], little), tf.int64)
    ends = tf.where(ends < 0, int(1e12), ends) + sizes
    valid &= tf.reduce_all((sizes >= 0) & ((sizes <= 4) | (ends <= tf.cast(length, tf.int64))))
    matches = tf.where(short_of(entries[:, :2], little) == ORIENTATION_TAG)[:, 0]

    def value() -> tf.Tensor:
        entry = entries[matches[0]]
        kind, number = short_of(entry[2:4], little), long_of(entry[4:8], little)
        as_short, as_long = short_of(entry[8:10], little), long_of(entry[8:12], little)
        orientation = tf.where(kind == 3, as_short, as_long)
        orientation = tf.where((orientation >= 1) & (orientation <= 8), orientation, UNTURNED)
        return tf.where((number == 1) & ((kind == 3) | (kind == 4)), orientation, 0)

    silent = valid & (tf.size(matches) == 0)
    return tf.cond(valid & (tf.size(matches) == 1), value, lambda: tf.where(silent, -1, 0))
