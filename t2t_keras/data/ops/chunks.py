"""Chunks of PNG and WebP files, walked in a graph, and the files that TensorFlow's decoders get.

A decoder gets the chunks of one still image alone, in the one order they have: of other orders,
animations and metadata each decoder has its own idea, and one of them crashes.
"""

from typing import NamedTuple

import tensorflow as tf

from t2t_keras.data.ops.graph import assert_op
from t2t_keras.images.constants import MEAN_COLOR
from t2t_keras.images.png import CHUNK_ORDER, MAX_CHUNKS, PALETTE

_PNG_START, _PNG_HEADER, _RIFF_START = 8, 25, 12
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_WEBP_ORDER = "VP8 |VP8L|VP8X(?:ICCP)?(?:ANIM(?:ANMF)+|(?:ALPH)?VP8 |VP8L)(?:EXIF)?(?:XMP )?"
_ANIMATION, _EXIF, _ALPHA = 2, 8, 16  # flags of VP8X
_PADDING = 32  # bytes
_BYTES = [bytes([value]) for value in range(256)]


class Chunks(NamedTuple):
    """Kinds and places of a file's chunks."""

    kinds: tf.Tensor  # (N,) string
    starts: tf.Tensor  # (N,) int32
    ends: tf.Tensor  # (N,) int32; the last is -1 if the file ends before that

    def span(self, *kinds: bytes, last: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds the first or last chunk of some kinds; its start and size, or -1 and 0."""
        places = tf.where(tf.reduce_any(self.kinds[:, None] == list(kinds), axis=1))[:, 0]
        spans = tf.gather(tf.stack([self.starts, self.ends - self.starts], 1), places)
        spans = tf.concat([[(-1, 0)], spans] if last else [spans, [(-1, 0)]], 0)
        start, size = tf.unstack(spans[-1 if last else 0])
        return start, size

    def order(self) -> tf.Tensor:
        """Joins all kinds; empty if the file ends too early."""
        return tf.where(self.ends[-1] > 0, tf.strings.reduce_join(self.kinds), b"")


def png_chunks(contents: tf.Tensor) -> Chunks:
    """Walks a PNG to its end, or to where it is damaged."""
    return _walk(contents, _PNG_START, png=True)


def _walk(contents: tf.Tensor, start: int, png: bool) -> Chunks:
    length, around = tf.strings.length(contents), 12 if png else 8

    def step(at: tf.Tensor, count: tf.Tensor, kinds: tf.TensorArray, ends: tf.TensorArray) -> tuple:
        head = tf.strings.substr(contents, at, 8)
        size = long_of(bytes_of(head)[:4] if png else bytes_of(head)[4:], not png)
        kind = tf.strings.substr(head, 4 if png else 0, 4)
        fits = (size >= 0) & (size <= length - at - around)
        end = tf.where(fits, at + around + size + (0 if png else size % 2), -1)
        over = (end < 0) | (kind == b"IEND")
        next_at = tf.where(over, length, end)
        return next_at, count + 1, kinds.write(count, kind), ends.write(count, end)

    arrays = (tf.TensorArray(dtype, 0, True, element_shape=()) for dtype in (tf.string, tf.int32))
    _, _, kinds, ends = tf.while_loop(
        lambda at, count, *_: (at + around <= length) & (count < MAX_CHUNKS),
        step,
        (start, 0, *arrays),
    )
    ends = ends.stack()
    return Chunks(kinds.stack(), tf.concat([[start], ends], 0)[:-1], ends)


def plain_png(contents: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Reduces a PNG to its pixels and palette, as `images.png`; beside (height, width)."""
    chunks = png_chunks(contents)
    header = bytes_of(tf.strings.substr(contents, _PNG_START, _PNG_HEADER))
    ordered = tf.strings.regex_full_match(chunks.order(), CHUNK_ORDER) & (header[3] == 13)
    with tf.control_dependencies([assert_op(ordered, "chunks are missing or out of order")]):
        colors, alpha, pixels = (chunks.span(kind) for kind in (b"PLTE", b"tRNS", b"IDAT"))
        colors_size = tf.where(header[17] == PALETTE, colors[1], 0)
        has_alpha = (alpha[0] > colors[0]) & (alpha[0] < pixels[0])
        end = tf.add(*chunks.span(b"IDAT", last=True))
        places = (
            (0, _PNG_START + _PNG_HEADER),
            (colors[0], colors_size),
            (alpha[0], tf.where(has_alpha & (colors_size > 0), alpha[1], 0)),
            (pixels[0], end - pixels[0]),
        )
        parts = [tf.strings.substr(contents, tf.maximum(at, 0), size) for at, size in places]
    size = tf.stack([long_of(header[at : at + 4], False) for at in (12, 8)])
    return tf.strings.join([*parts, _PNG_END]), size


class FirstFrame(NamedTuple):
    """A file's first frame alone, with its place on the canvas; sizes are (rows, columns)."""

    contents: tf.Tensor  # () string, a file of this frame
    whole: tf.Tensor  # () bool; where it is false, only `canvas` is known, as far as a header tells
    offset: tf.Tensor  # (2,) int32, of its upper left corner
    canvas: tf.Tensor  # (2,) int32, of the image that it lies on
    background: tf.Tensor  # (3,) uint8 around it


def first_webp_frame(contents: tf.Tensor) -> tuple[FirstFrame, tf.Tensor, tf.Tensor]:
    """Finds the first frame of a WebP file, and where its EXIF block starts (or -1) and its size.

    The frame is whole if the chunks are in order, and sizes and flags agree.
    """
    chunks, length = _walk(contents, _RIFF_START, png=False), tf.strings.length(contents)
    known = tf.strings.regex_full_match(chunks.order(), _WEBP_ORDER) & (chunks.ends[-1] == length)
    with tf.control_dependencies([assert_op(known, "a WebP with chunks out of order")]):
        at, at_size = chunks.span(b"ANMF", b"ALPH", b"VP8 ", b"VP8L")
    padded = tf.strings.join([contents, bytes(_PADDING)])  # numbers may lie after a damaged file
    animation_at, animation_size = chunks.span(b"ANIM")
    extended, animated = chunks.span(b"VP8X")[1] > 0, animation_size > 0
    flags = tf.where(extended, number_at(padded, 20, 1), 0)
    start = tf.where(animated, at + 24, at)
    has_alpha = _kind_at(padded, start) == b"ALPH"
    image_at = tf.where(has_alpha, _chunk_end(padded, start), start)
    kind, bits = _kind_at(padded, image_at), number_at(padded, image_at + 9, 4)
    lossless = kind == b"VP8L"
    lossy_size = tf.stack([number_at(padded, image_at + at, 2) % 2**14 for at in (16, 14)])
    lossless_size = tf.stack([bits // 2**14 % 2**14 + 1, bits % 2**14 + 1])
    size = tf.cast(tf.where(lossless, lossless_size, lossy_size), tf.int32)
    canvas = tf.where(extended, _sides(padded, 24) + 1, size)
    declared = tf.where(animated, _sides(padded, at + 14) + 1, canvas)
    offset = tf.where(animated, 2 * _sides(padded, at + 8), 0)
    clear = has_alpha | (lossless & (bits // 2**28 % 2 > 0))
    end = _chunk_end(padded, image_at)
    whole = (
        (number_at(padded, 4, 4) == tf.cast(length, tf.int64) - 8)
        & (~extended | (number_at(padded, 16, 4) == 10))
        & (~animated | (number_at(padded, animation_at + 4, 4) == 6) & (end == at + at_size))
        & ((kind == b"VP8 ") | (lossless & ~has_alpha))
        & (animated == (flags // _ANIMATION % 2 > 0))
        & (~extended | ~clear | (flags // _ALPHA % 2 > 0))
        & tf.reduce_all((size == declared) & (offset + size <= canvas))
    )
    # A chunk of alpha needs an extended header.
    sides = [_text(size[axis] - 1, 3) for axis in (1, 0)]
    header = tf.strings.join([b"VP8X\x0a\0\0\0\x10\0\0\0", *sides])
    image = tf.strings.substr(padded, start, end - start)
    image = tf.strings.join([b"WEBP", tf.where(has_alpha, header, b""), image])
    still = tf.strings.join([b"RIFF", _text(tf.strings.length(image), 4), image])
    background = tf.where(flags // _ALPHA % 2 > 0, tf.constant(MEAN_COLOR, tf.uint8), 0)
    exif_at, exif_size = chunks.span(b"EXIF")
    exif_at = tf.where((exif_size > 0) & (flags // _EXIF % 2 > 0), exif_at + 8, -1)
    exif_size = tf.cast(number_at(padded, tf.maximum(exif_at - 4, 0), 4), tf.int32)
    return FirstFrame(still, whole, offset, canvas, background), exif_at, exif_size


def _kind_at(contents: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    return tf.strings.substr(contents, tf.minimum(at, tf.strings.length(contents)), 4)


def _chunk_end(contents: tf.Tensor, at: tf.Tensor) -> tf.Tensor:
    size = tf.minimum(
        number_at(contents, at + 4, 4), tf.cast(tf.strings.length(contents), tf.int64)
    )
    return at + 8 + tf.cast(size + size % 2, tf.int32)


def _sides(contents: tf.Tensor, at: tf.Tensor | int) -> tf.Tensor:
    """Reads 24-bit numbers of columns and of rows -> (2,) of rows and of columns."""
    return tf.cast(tf.stack([number_at(contents, at + 3, 3), number_at(contents, at, 3)]), tf.int32)


def number_at(contents: tf.Tensor, at: tf.Tensor | int, count: int) -> tf.Tensor:
    """Reads a little-endian number of some bytes, () int64."""
    at = tf.minimum(at, tf.strings.length(contents) - count)
    values = tf.io.decode_raw(tf.strings.substr(contents, at, count), tf.uint8)
    values = tf.ensure_shape(values, (count,))
    return tf.reduce_sum(tf.cast(values, tf.int64) * [256**place for place in range(count)])


def _text(number: tf.Tensor, count: int) -> tf.Tensor:
    """Writes a little-endian number of some bytes."""
    values = number // [256**place for place in range(count)] % 256
    return tf.strings.reduce_join(tf.gather(tf.constant(_BYTES), values))


def short_of(values: tf.Tensor, little: tf.Tensor) -> tf.Tensor:
    first, second = values[..., 0], values[..., 1]
    return tf.where(little, first + second * 256, first * 256 + second)


def long_of(values: tf.Tensor, little: tf.Tensor) -> tf.Tensor:
    first, second = short_of(values[..., :2], little), short_of(values[..., 2:], little)
    return tf.where(little, first + second * 65536, first * 65536 + second)


def bytes_of(text: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.io.decode_raw(text, tf.uint8), tf.int32)
