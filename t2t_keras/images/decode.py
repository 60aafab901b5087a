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
from t2t_keras.images.constants import MAX_PIXELS, MAX_SIDE, MEAN_COLOR
from t2t_keras.images.png import SIGNATURE, reduced

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
ORIENTATION_TAG = 0x0112

# A file that is whole, but of a kind that is not read.
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
    name = os.path.expanduser(os.fspath(path))
    if not Path(name).is_file():
        raise DataError(f"{name}: no such image file. Check the path.")
    return _read(name, name)


def decode_rgb(contents: bytes) -> np.ndarray:
    """Decodes the contents of an image file as `read_rgb` does, with the same errors."""
    return _read(io.BytesIO(contents), "the file")


def _read(file: str | IO[bytes], name: str) -> np.ndarray:
    from PIL import Image

    def check_size(width: int, height: int) -> None:
        if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
            raise DataError(_too_large(name, f"{width} x {height}"))

    try:
        with contextlib.ExitStack() as opened:
            if isinstance(file, str):
                file = opened.enter_context(open(file, "rb"))
            if file.read(len(SIGNATURE)) == SIGNATURE:
                file = reduced(file, check_size)
            file.seek(0)
            image = opened.enter_context(Image.open(file, formats=FORMATS))
            check_size(image.width, image.height)
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
    from PIL import Image

    if image.mode in _SIXTEEN_BIT:
        return (np.asarray(image) >> 8).astype(np.uint8)[..., None]
    palette_alpha = image.mode == "P" and "transparency" in image.info
    if image.mode in _WITH_ALPHA or palette_alpha:
        rgba, image = image.convert("RGBA"), Image.new("RGB", image.size, background)
        image.paste(rgba, mask=rgba)  # in integers, rounded, as the tf.data path does
    return np.asarray(image.convert("RGB"))


def _too_large(name: str, size: str) -> str:
    return (
        f"{name}: the image declares {size}, above the limit of {MAX_PIXELS:,} pixels "
        f"or {MAX_SIDE:,} a side. Scale it down or remove the file."
    )
