import io
import itertools
import os
import tracemalloc

import numpy as np
import pytest
from PIL import Image, ImageOps

from t2t_keras.errors import DataError
from t2t_keras.images.decode import decode_rgb, read_rgb
from tests.support.images import (
    damaged,
    encode,
    exif_block,
    noise,
    pillow_kinds,
    ramp,
    readable_kinds,
    unreadable_kinds,
)

READABLE, UNREADABLE = readable_kinds(), unreadable_kinds()
KINDS = {**READABLE, **pillow_kinds()}


def _read(tmp_path, data, name="image"):
    path = tmp_path / name
    path.write_bytes(data)
    return read_rgb(path)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_files_and_contents_of_every_kind_become_rgb(tmp_path, kind):
    image = _read(tmp_path, KINDS[kind])
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[-1] == 3
    np.testing.assert_array_equal(decode_rgb(KINDS[kind]), image)
    if kind.endswith("turned"):
        assert image.shape == (80, 60, 3)


@pytest.mark.parametrize(
    "kind",
    ["jpeg", "jpeg_gray", "jpeg_cmyk", "jpeg_cmyk_unmarked", "png_palette", "png_one_bit"]
    + [kind for kind in KINDS if kind.startswith("bmp") and kind != "bmp_alpha"],
)
def test_opaque_kinds_are_pillows_rgb(kind):
    expected = Image.open(io.BytesIO(KINDS[kind])).convert("RGB")
    np.testing.assert_array_equal(decode_rgb(KINDS[kind]), expected)


def test_png_is_lossless():
    np.testing.assert_array_equal(decode_rgb(READABLE["png"]), ramp())


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [3, 4], ids=["short", "long"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_jpeg_is_set_upright(orientation, kind, order):
    block = exif_block(order, kind=kind, value=orientation)
    data = encode(ramp(), "JPEG", exif=block)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    image = decode_rgb(data)
    np.testing.assert_array_equal(image, expected)
    assert image.shape == ((80, 60, 3) if orientation > 4 else (60, 80, 3))


def test_of_sixteen_bits_the_high_byte_is_kept():
    image = decode_rgb(READABLE["png_sixteen_bit"])
    expected = (np.arange(4800).reshape(60, 80) * 13).astype(np.uint16) >> 8
    np.testing.assert_array_equal(image, np.repeat(expected[..., None], 3, -1))


def test_what_is_transparent_shows_the_mean_color():
    rgba = np.dstack([noise(4, 5), np.zeros((4, 5), np.uint8)])
    rgba[0, :, 3] = 255
    rgba[1, :, 3] = 128
    image = decode_rgb(encode(rgba, "PNG")).astype(int)
    np.testing.assert_array_equal(image[0], rgba[0, :, :3])
    mean = np.array([124, 116, 104])
    mixed = rgba[1, :, :3] * (128 / 255) + mean * (127 / 255)
    np.testing.assert_allclose(image[1], mixed, atol=0.51)
    np.testing.assert_array_equal(image[2:], np.broadcast_to(mean, (2, 5, 3)))


@pytest.mark.parametrize("kind", ["gif_animated", "webp_animated"])
def test_of_an_animation_the_first_frame_is_read(kind):
    still = kind.replace("_animated", "" if kind.startswith("gif") else "_lossless")
    np.testing.assert_array_equal(decode_rgb(READABLE[kind]), decode_rgb(READABLE[still]))


@pytest.mark.parametrize("kind", sorted(UNREADABLE))
def test_what_is_no_image_is_an_error_naming_the_file(tmp_path, kind):
    with pytest.raises(DataError) as caught:
        _read(tmp_path, UNREADABLE[kind], "holiday photo é.jpg")
    first_line = str(caught.value).splitlines()[0]
    assert "holiday photo é.jpg: " in first_line
    assert "JPEG, PNG, WEBP" in first_line or "pixels" in first_line
    with pytest.raises(DataError, match="the file: (not readable|the image declares)"):
        decode_rgb(UNREADABLE[kind])


@pytest.mark.parametrize("kind", ["bomb_png", "bomb_jpeg", "bomb_gif"])
def test_a_bomb_is_refused_from_its_header(tmp_path, kind):
    path = tmp_path / "bomb.jpg"
    path.write_bytes(UNREADABLE[kind])
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="bomb.jpg: the image declares .* limit of 64,000,000"):
            read_rgb(path)
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_a_path_that_is_no_file_is_an_error_and_does_not_hang(tmp_path):
    fifo = tmp_path / "pipe.jpg"
    os.mkfifo(fifo)
    for path in (tmp_path, tmp_path / "missing.jpg", fifo, "/dev/zero"):
        with pytest.raises(DataError, match="no such image file"):
            read_rgb(path)


def test_damaged_bytes_give_pixels_or_the_one_error(tmp_path):
    rng, refused = np.random.default_rng(0), 0
    for _, whole in zip(range(300), itertools.cycle(READABLE.values()), strict=False):
        data = damaged(whole, rng, most=8)
        path = tmp_path / "damaged"
        path.write_bytes(data[: rng.integers(len(data) // 2, len(data) + 1)])
        try:
            assert read_rgb(path).shape[-1] == 3
        except DataError as error:
            refused += 1
            assert str(path) in str(error)
    assert 100 < refused < 300
