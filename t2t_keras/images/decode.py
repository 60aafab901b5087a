"""A picture file -> upright 8-bit RGB, through Pillow."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np

from t2t_keras.errors import DataError
from t2t_keras.images.constants import MAX_PIXELS, MEAN_COLOUR
from t2t_keras.images.orientation import read_orientation, upright

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")

_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")
# What Pillow's readers raise for damaged bytes, beside OSError.
_DAMAGED = (
    OSError, SyntaxError, ValueError, TypeError, EOFError, IndexError, KeyError, OverflowError,
    MemoryError, struct.error, zlib.error,
)  # fmt: skip


def read_rgb(path: str | os.PathLike) -> np.ndarray:
    """Reads a picture file as upright 8-bit RGB.

    Grey, palette, 1-bit and CMYK pictures become RGB; of 16-bit samples the high byte is kept;
    what is transparent shows ImageNet's mean colour (black in a GIF); of an animation the first
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
        raise DataError(f"{name}: no such picture file. Check the path.")
    try:
        picture = Image.open(path, formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(_too_large(name)) from error
    except _DAMAGED as error:
        raise DataError(_unreadable(name, error)) from error
    with picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise DataError(_too_large(name, f"{picture.width} x {picture.height}"))
        try:
            return _to_rgb(picture)
        except _DAMAGED as error:
            raise DataError(_unreadable(name, error)) from error


def _to_rgb(picture) -> np.ndarray:
    """The rules of `read_rgb` on an opened `PIL.Image.Image`."""
    if picture.mode in _SIXTEEN_BIT:
        high_byte = (np.asarray(picture) >> 8).astype(np.uint8)
        return np.repeat(high_byte[..., None], 3, axis=-1)
    palette_alpha = picture.mode == "P" and "transparency" in picture.info
    if picture.mode in _WITH_ALPHA or palette_alpha:
        behind = (0, 0, 0) if picture.format == "GIF" else MEAN_COLOUR
        return _composite(np.asarray(picture.convert("RGBA")), behind)
    image = np.asarray(picture.convert("RGB"))
    if picture.format in ("JPEG", "MPO"):  # MPO: a JPEG with further frames behind it
        image = upright(image, read_orientation(picture.info.get("exif", b"")))
    return np.ascontiguousarray(image)


def _composite(rgba: np.ndarray, behind: tuple[int, int, int]) -> np.ndarray:
    """Lays RGBA over a colour in integers, as the tf.data path does."""
    colour, alpha = rgba[..., :3].astype(np.int32), rgba[..., 3:].astype(np.int32)
    mixed = colour * alpha + np.asarray(behind, np.int32) * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def _unreadable(name: str, error: BaseException) -> str:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return (
        f"{name}: not readable as a picture ({reason}). Formats read: {', '.join(FORMATS)}; "
        "convert, replace or remove the file."
    )


def _too_large(name: str, size: str = "far too many pixels") -> str:
    return (
        f"{name}: the picture declares {size}, above the limit of {MAX_PIXELS:,} pixels. "
        "Scale it down or remove the file."
    )
