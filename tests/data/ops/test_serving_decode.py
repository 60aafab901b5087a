"""The first frame of a GIF, cut out byte by byte."""

import time

import pytest
import tensorflow as tf
from PIL import Image

from t2t_keras.data.ops.serving_decode import first_frame
from tests.support.images import encode, noise, ramp

cut = tf.function(first_frame, input_signature=[tf.TensorSpec((), tf.string)])
STILL = encode(Image.fromarray(ramp()).quantize(64), "GIF")
FRAME = 13 + 3 * 64  # where it begins


def test_of_many_frames_one_is_left():
    frame = STILL[FRAME:-1]
    found = cut(STILL[:-1] + 5000 * frame + b";")
    assert found.whole and found.contents.numpy() == STILL
    assert found.canvas.numpy().tolist() == [60, 80]


@pytest.mark.parametrize("length", [1, 254, 255])
def test_sub_blocks_of_any_length_are_passed_over(length):
    """Each encoder has its own."""
    image = encode(Image.fromarray(noise(200, 200)).quantize(256), "GIF")
    start = 13 + 3 * 256 + 11  # after the colors and the frame's place
    data, at = b"", start
    while size := image[at]:
        data += image[at + 1 : at + 1 + size]
        at += 1 + size
    parts = [data[i : i + length] for i in range(0, len(data), length)]
    chain = b"".join(bytes([len(part)]) + part for part in parts)
    other = image[:start] + chain + b"\0;"
    assert cut(other + STILL).contents.numpy() == other


def test_a_file_made_to_take_long_is_refused():
    odd = b"\x01a\x02bb" * 100_000
    started = time.monotonic()
    assert not cut(STILL[:-2] + odd + b"\0;").whole
    assert not cut(STILL[:FRAME] + b"!\xfe\x01a\0" * 100_000).whole
    assert time.monotonic() - started < 30
