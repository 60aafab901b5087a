"""Encoded picture -> upright 8-bit RGB inside a graph: the pixels `images.read_rgb` reads."""

import tensorflow as tf

from t2t_keras.data.gif import first_frame
from t2t_keras.data.orientation import jpeg_orientation, upright
from t2t_keras.images.constants import MAX_PIXELS, MEAN_COLOUR

# TensorFlow's default is faster by a tenth and off by up to 5 levels from Pillow's.
DCT_METHOD = "INTEGER_ACCURATE"
_HEADER = 32  # bytes; all sizes lie in them but that of a GIF's frame


# One trace for all pipelines of a process; plain Python control flow, so nothing to convert.
@tf.function(input_signature=[tf.TensorSpec((), tf.string)], autograph=False)
def decode_picture(contents: tf.Tensor) -> tf.Tensor:
    """Decodes a JPEG, PNG, WebP, GIF (first frame) or 24-bit BMP.

    The rules for grey, palette, CMYK, 16-bit, transparent and turned pictures are those of
    `images.read_rgb`. What declares more than `MAX_PIXELS` pixels, in its header or in a GIF's
    first frame, is refused before anything is decoded. No later frame is decoded at all.

    Args:
        contents: () string.

    Returns:
        (h, w, 3) uint8.

    Raises:
        tf.errors.InvalidArgumentError: The bytes are no such picture, or damaged, or too large.
    """
    image = tf.cond(is_jpeg(contents), lambda: _jpeg(contents), lambda: _not_jpeg(contents))
    return tf.ensure_shape(image, (None, None, 3))


def is_jpeg(contents: tf.Tensor) -> tf.Tensor:
    """Whether an encoded picture begins as a JPEG; () bool."""
    return tf.strings.substr(contents, 0, 3) == b"\xff\xd8\xff"


# TensorFlow copies the branches of a condition into the graph around it, and visits every op of the
# one that is not taken, for each picture. This one is large, and stays a single op.
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
    # TensorFlow reads a palette's indices as grey, so only true colour passes.
    true_colour = _begins(header, b"BM") & (_little_endian(header[28:30]) == 24)
    known = tf.debugging.Assert(true_colour, ["not a JPEG, PNG, WebP, GIF or 24-bit BMP picture"])
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
    """Grey, grey + alpha, RGB or RGBA -> RGB, laid over the mean colour in integers."""
    channels = tf.shape(image)[-1]
    with_alpha = channels % 2 == 0
    colours = channels - tf.cast(with_alpha, tf.int32)
    colour = tf.tile(image[..., :colours], (1, 1, 3 // colours))

    def composite():
        over, alpha = tf.cast(colour, tf.int32), tf.cast(image[..., -1:], tf.int32)
        mixed = over * alpha + tf.constant(MEAN_COLOUR, tf.int32) * (255 - alpha)
        return tf.cast((mixed + 127) // 255, tf.uint8)

    return tf.cond(with_alpha, composite, lambda: colour)


def small_enough(height: tf.Tensor, width: tf.Tensor):
    """What is decoded inside waits for the check of the declared size."""
    pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
    # Not `tf.debugging.Assert`: it makes a condition of it, a dozen ops for each picture.
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
