import itertools
import json
import resource
import struct
import time
import zlib

import numpy as np
import pytest
import tensorflow as tf

from t2t_keras.data.ops.decode import decode_image, jpeg_orientation, plain_jpeg
from t2t_keras.data.ops.serving_decode import decode_in_graph
from t2t_keras.errors import DataError
from t2t_keras.images.decode import decode_rgb
from tests.support.images import (
    damaged,
    encode,
    exif_block,
    noise,
    pillow_kinds,
    png_chunk,
    ramp,
    readable_kinds,
    turned,
    unreadable_kinds,
    with_chunk,
)
from tests.support.running import run_python

READABLE, UNREADABLE = readable_kinds(), unreadable_kinds()
PILLOWS = pillow_kinds()
EVERYWHERE = pytest.mark.parametrize("decode", [decode_image, decode_in_graph])


@EVERYWHERE
@pytest.mark.parametrize("kind", sorted(READABLE))
def test_pixels_are_those_of_read_rgb(kind, decode):
    image = decode(READABLE[kind]).numpy()
    np.testing.assert_array_equal(image, decode_rgb(READABLE[kind]))


@pytest.mark.parametrize("kind", sorted(PILLOWS))
def test_what_tensorflow_misreads_is_read_by_pillow_and_refused_in_a_served_graph(kind):
    image = decode_image(PILLOWS[kind]).numpy()
    np.testing.assert_array_equal(image, decode_rgb(PILLOWS[kind]))
    assert plain_jpeg(PILLOWS[kind])[1] == 0
    if kind.endswith("turned"):
        assert image.shape[:2] == (80, 60)
    reasons = "CMYK|two graphic|24-bit BMP|orientation that is not plainly said"
    with pytest.raises(tf.errors.InvalidArgumentError, match=reasons):
        decode_in_graph(PILLOWS[kind])


@EVERYWHERE
@pytest.mark.parametrize("kind", sorted(UNREADABLE))
def test_what_is_no_image_is_refused(kind, decode):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(UNREADABLE[kind])


PNG = READABLE["png_palette"]
PIXELS = PNG.index(b"IDAT") - 4
DAMAGED_PNG = {
    "header": PNG[:30] + b"\1" + PNG[31:],
    "pixels": PNG[:-20] + b"\0\0" + PNG[-18:],
    "two_headers": PNG[:33] + PNG[8:],
    "no_colors": PNG[:33] + PNG[PIXELS:],
    "unknown_chunk": with_chunk(PNG, b"ABCD", b""),
    "taller_than_its_pixels": PNG[:8]
    + png_chunk(b"IHDR", PNG[16:20] + struct.pack(">I", 900) + PNG[24:29])
    + PNG[33:],
}


@pytest.mark.parametrize("kind", DAMAGED_PNG)
def test_a_damaged_png_is_refused_everywhere(kind):
    for decode in (decode_image, decode_in_graph):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode(DAMAGED_PNG[kind])
    with pytest.raises(DataError, match="not readable as an image"):
        decode_rgb(DAMAGED_PNG[kind])


@EVERYWHERE
@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exact": True}])
def test_a_webp_bomb_is_refused_from_each_kind_of_header(options, decode):
    big = np.zeros((9000, 9000, 4 if "exact" in options else 3), np.uint8)
    with pytest.raises(tf.errors.InvalidArgumentError, match="(too many pixels.*81|9000 x 9)000"):
        decode(encode(big, "WEBP", quality=0, method=0, **options))


@EVERYWHERE
def test_a_bomb_costs_neither_memory_nor_time(decode):
    decode(READABLE["png"])
    decode(READABLE["gif"])
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    for kind in ("bomb_png", "bomb_jpeg", "bomb_gif"):
        with pytest.raises(tf.errors.InvalidArgumentError, match="too many pixels|64,000,000"):
            decode(UNREADABLE[kind])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024
    assert time.monotonic() - started < 5


@EVERYWHERE
@pytest.mark.parametrize(
    "segment",
    [b"", b"\xff\xfe\x00\x10Exif\0\0 in text", b"\xff\xfe\x00\x04ab" * 40, b"\xff\xff\xff"],
    ids=["none", "comment", "many", "filling"],
)
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_the_orientation_is_found_after_other_segments(segment, orientation, decode):
    jpeg = turned(orientation)
    data = jpeg[:2] + segment + jpeg[2:]
    np.testing.assert_array_equal(decode(data), decode_rgb(data))
    assert jpeg_orientation(data) == orientation


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [3, 4], ids=["short", "long"])
@pytest.mark.parametrize("value", range(1, 9))
def test_orientations_of_both_byte_orders_are_read_in_the_graph(order, kind, value):
    jpeg = encode(ramp(), "JPEG", exif=exif_block(order, kind=kind, value=value))
    assert jpeg_orientation(jpeg) == value
    np.testing.assert_array_equal(decode_in_graph(jpeg), decode_rgb(jpeg))


@pytest.mark.parametrize(
    "block",
    [
        b"Exif\0\0",
        b"Exif\0\0XX*\0\x08\0\0\0",
        exif_block("<", kind=2),
        exif_block("<", start=2**31),
        exif_block(">", start=2**32 - 1),
        exif_block("<")[:20],
    ],
)
def test_a_damaged_block_means_upright_and_is_refused_in_the_graph(block):
    jpeg = encode(ramp(), "JPEG", exif=block)
    assert jpeg_orientation(jpeg) == 0
    image = decode_image(jpeg).numpy()
    np.testing.assert_array_equal(image, decode_rgb(jpeg))
    assert image.shape == (60, 80, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="not plainly said"):
        decode_in_graph(jpeg)


@pytest.mark.parametrize("exif", [{"value": 0}, {"value": 9}, {"tag": 0x0113}])
def test_a_silent_block_means_upright_everywhere(exif):
    jpeg = encode(ramp(), "JPEG", exif=exif_block("<", **exif))
    assert jpeg_orientation(jpeg) == 1
    for decode in (decode_image, decode_in_graph):
        np.testing.assert_array_equal(decode(jpeg).numpy(), decode_rgb(jpeg))


@pytest.mark.parametrize("kind", ["png_exif_turned", "webp_exif_turned"])
def test_a_chunk_of_damaged_exif_gives_the_same_pixels_or_is_refused(kind):
    rng = np.random.default_rng(2)
    data = READABLE[kind]
    start = data.lower().index(b"exif") + 4
    shapes, refused = set(), 0
    for _ in range(100):
        changed = damaged(data, rng, most=2, places=(start + 4, min(start + 40, len(data))))
        if kind.startswith("png"):  # with the checksum that belongs to it
            end = start + len(exif_block(">")) - 6
            whole = struct.pack(">I", zlib.crc32(changed[start - 4 : end]))
            changed = changed[:end] + whole + changed[end + 4 :]
        try:
            image = decode_in_graph(changed).numpy()
        except tf.errors.InvalidArgumentError:
            refused += 1
            continue
        np.testing.assert_array_equal(image, decode_rgb(changed))
        shapes.add(image.shape)
    assert len(shapes) == 2 and 5 < refused < 95


def test_a_thousand_fuzzed_files_are_the_same_images_everywhere():
    """In processes of their own, which also weigh large transparent images."""
    done = run_python("-m", "benchmarks.fuzz_images", "--n=1000", "--jobs=1", check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    kinds = {name.split()[0] for name, count in report.items() if "read" in name and count > 20}
    assert kinds == {"jpeg", "png", "gif", "webp", "bmp", "tiff"}
    assert all(0 < report[f"{way} MiB"] < 1000 for way in ("loader", "training", "served"))


def test_damaged_bytes_give_the_same_pixels_as_pillow_or_an_error():
    rng, both, different = np.random.default_rng(0), 0, 0
    for _, whole in zip(range(300), itertools.cycle(READABLE.values()), strict=False):
        data = damaged(whole, rng, most=3)
        try:
            mine, pillow = decode_image(data).numpy(), decode_rgb(data)
        except (tf.errors.InvalidArgumentError, DataError):
            continue
        both += 1
        different += mine.shape != pillow.shape or not np.array_equal(mine, pillow)
    assert both > 50 and different <= both // 10


def test_damaged_exif_gives_the_same_pixels_everywhere():
    """In the graph that is served too, wherever that is sure of the orientation."""
    rng = np.random.default_rng(1)
    jpeg = turned(6)
    start = jpeg.index(b"Exif") + 6
    shapes, sure = set(), 0
    for _ in range(150):
        data = damaged(jpeg, rng, most=3, places=(start, start + 26))
        pillow = decode_rgb(data)
        np.testing.assert_array_equal(decode_image(data), pillow)
        if jpeg_orientation(data) > 0:
            np.testing.assert_array_equal(decode_in_graph(data), pillow)
            sure += 1
        shapes.add(pillow.shape)
    assert len(shapes) == 2 and 10 < sure < 150


def test_a_large_photo_is_read():
    photo = noise(1200, 1600)
    np.testing.assert_array_equal(decode_image(encode(photo, "PNG")).numpy(), photo)
