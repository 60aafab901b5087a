import resource
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from t2t_keras.data import decode_image
from t2t_keras.errors import DataError
from t2t_keras.images import read_rgb
from tests.support.images import encode, noise, ramp, readable_kinds, turned, unreadable_kinds

READABLE, UNREADABLE = readable_kinds(), unreadable_kinds()


@pytest.mark.parametrize("kind", sorted(READABLE))
def test_pixels_are_those_of_read_rgb(tmp_path, kind):
    path = tmp_path / kind
    path.write_bytes(READABLE[kind])
    np.testing.assert_array_equal(decode_image(READABLE[kind]).numpy(), read_rgb(path))


@pytest.mark.parametrize("kind", sorted(UNREADABLE))
def test_what_is_no_image_is_refused(kind):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_image(UNREADABLE[kind])


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA"])
def test_a_bmp_that_tensorflow_misreads_is_refused(mode):
    with pytest.raises(tf.errors.InvalidArgumentError, match="24-bit BMP"):
        decode_image(encode(Image.fromarray(ramp()).convert(mode), "BMP"))


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exact": True}])
def test_a_webp_bomb_is_refused_from_each_kind_of_header(options):
    big = np.zeros((9000, 9000, 4 if "exact" in options else 3), np.uint8)
    with pytest.raises(tf.errors.InvalidArgumentError, match="too many pixels.*81000000"):
        decode_image(encode(big, "WEBP", quality=0, method=0, **options))


def test_a_bomb_costs_neither_memory_nor_time():
    decode_image(READABLE["png"])
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    for kind in ("bomb_png", "bomb_jpeg", "bomb_gif"):
        with pytest.raises(tf.errors.InvalidArgumentError, match="too many pixels"):
            decode_image(UNREADABLE[kind])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "segment",
    [b"", b"\xff\xfe\x00\x10Exif\0\0 in text", b"\xff\xfe\x00\x04ab" * 40, b"\xff\xff\xff"],
    ids=["none", "comment", "many", "filling"],
)
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_the_orientation_is_found_behind_other_segments(tmp_path, segment, orientation):
    jpeg = turned(orientation)
    path = tmp_path / "turned.jpg"
    path.write_bytes(jpeg[:2] + segment + jpeg[2:])
    image = decode_image(path.read_bytes()).numpy()
    np.testing.assert_array_equal(image, read_rgb(path))
    assert image.shape[:2] == ((80, 60) if orientation == 6 else (60, 80))


def test_damaged_bytes_give_the_same_pixels_as_pillow_or_an_error(tmp_path):
    rng = np.random.default_rng(0)
    kinds = sorted(READABLE)
    path = tmp_path / "damaged"
    both = different = 0
    for number in range(300):
        data = bytearray(READABLE[kinds[number % len(kinds)]])
        for at in rng.integers(0, len(data), rng.integers(1, 4)):
            data[at] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            mine = decode_image(bytes(data)).numpy()
            pillow = read_rgb(path)
        except (tf.errors.InvalidArgumentError, DataError):
            continue
        both += 1
        different += mine.shape != pillow.shape or not np.array_equal(mine, pillow)
    assert both > 50
    assert different <= both // 10


def test_damaged_exif_means_upright_on_both_paths(tmp_path):
    rng = np.random.default_rng(1)
    jpeg = turned(6)
    start = jpeg.index(b"Exif") + 6
    length = 26
    path = tmp_path / "turned.jpg"
    shapes = set()
    for _ in range(150):
        data = bytearray(jpeg)
        for at in rng.integers(start, start + length, rng.integers(1, 4)):
            data[at] = rng.integers(0, 256)
        path.write_bytes(data)
        image = decode_image(bytes(data)).numpy()
        np.testing.assert_array_equal(image, read_rgb(path))
        shapes.add(image.shape)
    assert len(shapes) == 2


def test_a_large_photo_is_read():
    photo = noise(1200, 1600)
    np.testing.assert_array_equal(decode_image(encode(photo, "PNG")).numpy(), photo)
