import numpy as np
import pytest
import tensorflow as tf

from t2t_keras.data.ops.crops import CropParams, sample_crops, window_of
from t2t_keras.data.ops.decode import decode_image
from t2t_keras.data.ops.jpeg_window import decode_window
from t2t_keras.data.ops.seeds import batch_seed
from tests.support.images import encode, noise, ramp, readable_kinds, turned, unreadable_kinds

AREA, RATIO = (0.01, 1.0), (0.2, 5.0)
UNREADABLE = unreadable_kinds()
READABLE = {
    **readable_kinds(),
    "restart_markers_by_rows": encode(noise(90, 70), "JPEG", restart_marker_rows=1),
    "restart_markers_by_blocks": encode(noise(90, 70), "JPEG", restart_marker_blocks=3),
    "bytes_after_the_end": encode(ramp(), "JPEG") + b"\0" * 9,
}
SAMPLING = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}


def across(jpeg: bytes, sampling: int, wider: float) -> bytes:
    """The same blocks in the order of another subsampling, and so of another shape."""
    data = bytearray(jpeg)
    at = next(
        data.index(bytes([0xFF, kind])) for kind in (0xC0, 0xC2) if bytes([0xFF, kind]) in data
    )
    sides = [int.from_bytes(data[at + place : at + place + 2], "big") for place in (5, 7)]
    height, width = int(sides[0] / wider), int(sides[1] * wider)
    data[at + 5 : at + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    data[at + 11] = sampling
    return bytes(data)


def sampled_crops(count: int, area=(0.01, 0.05), ratio=RATIO) -> list[CropParams]:
    params = sample_crops(batch_seed(1, 2, 0), count, area, ratio)
    return [CropParams(*row) for row in zip(*params, strict=True)]


def assert_windows_are_the_image_s(jpeg: bytes, count: int) -> None:
    whole = decode_image(jpeg)
    for params in sampled_crops(count, AREA):
        window = window_of(whole.shape[:2], params, RATIO)
        np.testing.assert_array_equal(
            decode_window(jpeg, params, RATIO), whole[window.rows, window.columns]
        )


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("sampling", SAMPLING)
@pytest.mark.parametrize("shape", [(61, 83), (96, 128), (33, 17), (150, 201)])
def test_a_window_of_a_jpeg_has_the_pixels_of_the_whole(shape, sampling, progressive):
    options = {"subsampling": SAMPLING[sampling], "progressive": progressive, "quality": 80}
    assert_windows_are_the_image_s(encode(noise(*shape), "JPEG", **options), 25)


def test_rare_subsamplings_have_the_pixels_of_the_whole():
    tall = across(encode(noise(64, 128), "JPEG", subsampling=1), 0x12, 0.5)
    wide = across(encode(noise(64, 128), "JPEG", subsampling=2), 0x41, 2)
    assert decode_image(tall).shape == (128, 64, 3) and decode_image(wide).shape[1] == 256
    for jpeg in (tall, wide):
        assert_windows_are_the_image_s(jpeg, 40)


@pytest.mark.parametrize("kind", sorted(READABLE))
def test_every_kind_of_image_is_read(kind):
    assert_windows_are_the_image_s(READABLE[kind], 10 if "restart" in kind else 3)


@pytest.mark.parametrize("kind", sorted(UNREADABLE))
def test_what_is_no_image_is_refused(kind):
    for params in sampled_crops(6):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode_window(UNREADABLE[kind], params, RATIO)


def test_a_file_that_was_cut_off_fails_wherever_the_window_lies():
    jpeg = encode(noise(200, 300), "JPEG")
    for share in (0.3, 0.6, 0.9, 0.99):
        for params in sampled_crops(8):
            with pytest.raises(tf.errors.InvalidArgumentError):
                decode_window(jpeg[: int(share * len(jpeg))], params, RATIO)


def test_a_turned_image_is_windowed_upright():
    (params,) = sampled_crops(1, (1.0, 1.0), (0.75, 0.75))
    window = decode_window(turned(6), params, (0.75, 0.75))
    np.testing.assert_array_equal(window, decode_image(turned(6)))
