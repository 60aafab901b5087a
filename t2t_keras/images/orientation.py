"""How a camera was held: the EXIF orientation, and turning a picture upright."""

import struct

import numpy as np

ORIENTATION_TAG = 0x0112
TRANSPOSED = (5, 6, 7, 8)  # orientations with rows and columns swapped; undone first
MIRRORED = (2, 3, 6, 7)  # then left and right swapped
FLIPPED = (3, 4, 7, 8)  # then top and bottom swapped

_ENTRY = 12  # bytes of a directory entry: tag, type, count, value
_SHORT = 3  # the type an orientation has


def read_orientation(exif: bytes) -> int:
    """Finds the orientation in a JPEG's EXIF block.

    Args:
        exif: The block from its `Exif` mark on; may be empty or damaged.

    Returns:
        1 to 8; 1, upright, where nothing valid is said.
    """
    tiff = exif.removeprefix(b"Exif\x00\x00")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return 1
    start = struct.unpack_from(order + "I", tiff, 4)[0]
    if start + 2 > len(tiff):
        return 1
    count = struct.unpack_from(order + "H", tiff, start)[0]
    entries = tiff[start + 2 : start + 2 + count * _ENTRY]
    for at in range(0, len(entries) - _ENTRY + 1, _ENTRY):
        tag, kind, _, value = struct.unpack_from(order + "HHIH", entries, at)
        if tag == ORIENTATION_TAG:
            return value if kind == _SHORT and 1 <= value <= 8 else 1
    return 1


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Turns an (h, w, c) picture upright."""
    if orientation in TRANSPOSED:
        image = image.transpose(1, 0, 2)
    if orientation in MIRRORED:
        image = image[:, ::-1]
    if orientation in FLIPPED:
        image = image[::-1]
    return image
