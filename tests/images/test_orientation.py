import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from t2t_keras.images.decode import read_orientation, upright
from tests.support.images import ramp, turned


def _exif(order: str, tag: int = 0x0112, kind: int = 3, value: int = 6, start: int = 8) -> bytes:
    mark = b"II" if order == "<" else b"MM"
    header = mark + struct.pack(order + "HI", 42, start)
    entries = struct.pack(order + "HHIHH", 0x010F, 3, 1, 1, 0)
    entries += struct.pack(order + "HHIHH", tag, kind, 1, value, 0)
    return b"Exif\0\0" + header + struct.pack(order + "H", 2) + entries


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value", range(1, 9))
def test_both_byte_orders_are_read(order, value):
    assert read_orientation(_exif(order, value=value)) == value


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"Exif\0\0",
        b"Exif\0\0XX*\0\x08\0\0\0",
        _exif("<", value=0),
        _exif("<", value=9),
        _exif("<", kind=4),
        _exif("<", tag=0x0113),
        _exif("<", start=2**31),
        _exif(">", start=2**32 - 1),
        _exif("<")[:20],
    ],
)
def test_a_damaged_or_silent_block_means_upright(block):
    assert read_orientation(block) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_is_pillows(orientation):
    image = Image.open(io.BytesIO(turned(orientation)))
    expected = np.asarray(ImageOps.exif_transpose(image))
    turned_back = upright(np.asarray(image), orientation)
    np.testing.assert_array_equal(turned_back, expected)
    assert turned_back.shape == (ramp().transpose(1, 0, 2) if orientation > 4 else ramp()).shape
