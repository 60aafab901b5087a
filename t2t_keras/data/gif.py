"""The first frame of a GIF, cut out of its file: no other frame is decoded, or paid for."""

from typing import NamedTuple

import tensorflow as tf

_SCREEN, _TABLE = 6, 13  # where the screen's size and the colours of all frames stand
_EXTENSION, _IMAGE, _CONTROL = 0x21, 0x2C, 0xF9
_LONGEST_RUN = 256  # sub-blocks passed over in one step
_STEPS = 4096  # no picture needs more; a file made to need them would cost seconds


class FirstFrame(NamedTuple):
    """Where a frame lies, and a GIF of it alone, whose upper left corner is the frame's.

    Args:
        contents: () string.
        whole: () bool; where it is false, only the header's size is known, and is `canvas`.
        size: (2,) int32, height and width.
        offset: (2,) int32, the rows above it and the columns left of it.
        canvas: (2,) int32, height and width of the picture that it lies on.
        ground: (3,) uint8, the colour around it: black where the frame has transparent pixels, as
            they are themselves.
    """

    contents: tf.Tensor
    whole: tf.Tensor
    size: tf.Tensor
    offset: tf.Tensor
    canvas: tf.Tensor
    ground: tf.Tensor


def first_frame(contents: tf.Tensor) -> FirstFrame:
    """Finds the first frame without decoding it; the picture is as large as Pillow has it.

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
    """Bytes of a table of colours; 0 where there is none."""
    return tf.where(flags >= 128, 3 * tf.bitwise.left_shift(2, flags % 8), 0)


def _behind_extensions(data: tf.Tensor, at: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Where the extensions end, whether the last control has a transparent colour, steps left."""

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
