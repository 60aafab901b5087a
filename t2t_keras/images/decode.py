"""An image file -> upright 8-bit RGB, through Pillow."""

import contextlib
import io
import os
import struct
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from t2t_keras.errors import DataError
from t2t_keras.images.constants import MAX_PIXELS, MEAN_COLOR

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
ORIENTATION_TAG = 0x0112

# Files that are whole, but of a kind that is not read.
IOS_PNG = "iOS' own form of PNG (CgBI), which pngcrush -revert-iphone-optimizations undoes"
DEEP_TIFF = "a TIFF of signed, floating-point or 32-bit samples"

STRIP = 2_000_000  # pixels that become RGB at a time: a large image costs little beyond itself
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
    frame is read; an EXIF orientation is applied.

    Returns:
        (h, w, 3) uint8.

    Raises:
        DataError: The file is missing, damaged, of a format not read, or declares more than
            `MAX_PIXELS` pixels; the message names it.
    """
    name = os.path.expanduser(path)
    if not Path(name).is_file():
        raise DataError(f"{name}: no such image file. Check the path.")
    return _read(name, name)


def decode_rgb(contents: bytes) -> np.ndarray:
    """Decodes the contents of an image file as `read_rgb` does, with the same errors."""
    return _read(io.BytesIO(contents), "the file")


def _read(file: str | os.PathLike | IO[bytes], name: str) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(_too_large(name, f"{image.width} x {image.height}"))
            if b"CgBI" in (chunk[0] for chunk in getattr(image, "private_chunks", ())):
                raise ValueError(IOS_PNG)
            if image.format != "PNG":
                return _to_rgb(image)
            image.verify()  # refuses a wrong checksum or a missing end, as TensorFlow does
        with Image.open(file, formats=FORMATS) as image:
            return _to_rgb(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(_too_large(name, "far too many pixels")) from error
    except DataError:
        raise
    except _DAMAGED as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{name}: not readable as an image ({reason}). Formats read: {', '.join(FORMATS)}; "
            "convert, replace or remove the file."
        ) from error


def _to_rgb(image: "Image.Image") -> np.ndarray:
    from PIL import ImageOps

    image.load()
    with contextlib.suppress(*_DAMAGED):  # a damaged EXIF block means upright
        ImageOps.exif_transpose(image, in_place=True)
    if image.format == "TIFF" and image.mode in ("I", "F"):
        raise ValueError(DEEP_TIFF)
    background = (0, 0, 0) if image.format == "GIF" else MEAN_COLOR
    rgb = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(STRIP // image.width, 1)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        rgb[top : top + rows] = _strip_to_rgb(strip, background)
    return rgb


def _strip_to_rgb(image: "Image.Image", background: tuple[int, ...]) -> np.ndarray:
    if image.mode in _SIXTEEN_BIT:
        return (np.asarray(image) >> 8).astype(np.uint8)[..., None]
    palette_alpha = image.mode == "P" and "transparency" in image.info
    if image.mode in _WITH_ALPHA or palette_alpha:
        return _composite(np.asarray(image.convert("RGBA")), background)
    return np.asarray(image.convert("RGB"))


def _composite(rgba: np.ndarray, background: tuple[int, ...]) -> np.ndarray:
    """Lays RGBA over a color in integers, as the tf.data path does."""
    color, alpha = rgba[..., :3].astype(np.int32), rgba[..., 3:].astype(np.int32)
    mixed = color * alpha + np.asarray(background, np.int32) * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def _too_large(name: str, size: str) -> str:
    return (
        f"{name}: the image declares {size}, above the limit of {MAX_PIXELS:,} pixels. "
        "Scale it down or remove the file."
    )
