"""An image file -> upright 8-bit RGB, through Pillow."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np

from t2t_keras.errors import DataError
from t2t_keras.images.constants import MAX_PIXELS, MEAN_COLOR

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
    """Turns an (h, w, c) image upright."""
    if orientation in TRANSPOSED:
        image = image.transpose(1, 0, 2)
    if orientation in MIRRORED:
        image = image[:, ::-1]
    if orientation in FLIPPED:
        image = image[::-1]
    return image


FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")

_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")
# What Pillow's readers raise for damaged bytes, beside OSError.
_DAMAGED = (
    OSError, SyntaxError, ValueError, TypeError, EOFError, IndexError, KeyError, OverflowError,
    MemoryError, struct.error, zlib.error,
)  # fmt: skip


def read_rgb(path: str | os.PathLike) -> np.ndarray:
    """Reads an image file as upright 8-bit RGB.

    Gray, palette, 1-bit and CMYK images become RGB; of 16-bit samples the high byte is kept;
    what is transparent shows ImageNet's mean color (black in a GIF); of an animation the first
    frame is read; a JPEG's EXIF orientation is applied.

    Returns:
        (h, w, 3) uint8.

    Raises:
        DataError: The file is missing, damaged, of a format not read, or declares more than
            `MAX_PIXELS` pixels; the message names it.
    """
    from PIL import Image

    name = os.fspath(path)
    if not Path(path).is_file():
        raise DataError(f"{name}: no such image file. Check the path.")
    try:
        image = Image.open(path, formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(_too_large(name)) from error
    except _DAMAGED as error:
        raise DataError(_unreadable(name, error)) from error
    with image:
        if image.width * image.height > MAX_PIXELS:
            raise DataError(_too_large(name, f"{image.width} x {image.height}"))
        try:
            return _to_rgb(image)
        except _DAMAGED as error:
            raise DataError(_unreadable(name, error)) from error


def _to_rgb(image) -> np.ndarray:
    """The rules of `read_rgb` on an opened `PIL.Image.Image`."""
    if image.mode in _SIXTEEN_BIT:
        high_byte = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(high_byte[..., None], 3, axis=-1)
    palette_alpha = image.mode == "P" and "transparency" in image.info
    if image.mode in _WITH_ALPHA or palette_alpha:
        behind = (0, 0, 0) if image.format == "GIF" else MEAN_COLOR
        return _composite(np.asarray(image.convert("RGBA")), behind)
    pixels = np.asarray(image.convert("RGB"))
    if image.format in ("JPEG", "MPO"):  # MPO: a JPEG with further frames behind it
        pixels = upright(pixels, read_orientation(image.info.get("exif", b"")))
    return np.ascontiguousarray(pixels)


def _composite(rgba: np.ndarray, behind: tuple[int, int, int]) -> np.ndarray:
    """Lays RGBA over a color in integers, as the tf.data path does."""
    color, alpha = rgba[..., :3].astype(np.int32), rgba[..., 3:].astype(np.int32)
    mixed = color * alpha + np.asarray(behind, np.int32) * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def _unreadable(name: str, error: BaseException) -> str:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return (
        f"{name}: not readable as an image ({reason}). Formats read: {', '.join(FORMATS)}; "
        "convert, replace or remove the file."
    )


def _too_large(name: str, size: str = "far too many pixels") -> str:
    return (
        f"{name}: the image declares {size}, above the limit of {MAX_PIXELS:,} pixels. "
        "Scale it down or remove the file."
    )
