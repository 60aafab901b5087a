"""EXIF orientation inside a graph: the rule of `images/orientation.py` in TensorFlow ops."""

import tensorflow as tf

from t2t_keras.images.orientation import FLIPPED, MIRRORED, ORIENTATION_TAG, TRANSPOSED

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
    """Whether an encoded JPEG may have an EXIF block, which most of a data set have not; () bool.

    It is looked for by its mark alone, which is quick, and quicker by replacing than by matching
    the whole file.
    """
    rest = tf.strings.regex_replace(contents, rb"Exif\x00\x00", b"", replace_global=False)
    return tf.strings.length(rest) < tf.strings.length(contents)


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns an (h, w, 3) uint8 picture upright; `orientation` is () int32."""
    return tf.cond(orientation == 1, lambda: image, lambda: _turned(image, orientation))


# Few pictures need it: where none does it is a single op, as `decode._not_jpeg`.
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
