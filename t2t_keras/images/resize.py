"""The evaluation geometry every path shares, and Pillow's resize to it.

The sizes are integer arithmetic only, so they hold for Python numbers and for integer tensors.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from t2t_keras.errors import check
from t2t_keras.images.constants import MAX_PIXELS

Size = tuple[int, int]


def target_size(image_size: int | Size) -> Size:
    """Reads an image size given as one number or as (height, width)."""
    sides = tuple(image_size) if isinstance(image_size, tuple | list) else (image_size,) * 2
    pixels = all(isinstance(side, int | np.integer) and side > 0 for side in sides)
    expected = "an integer above 0, or two of them (height, width)"
    check(len(sides) == 2 and pixels, "image_size", image_size, expected)
    return int(sides[0]), int(sides[1])


def cover_size(target: Size, crop_pct: float) -> Size:
    """Computes the size that an image is resized to cover, of which `target` is the center."""
    check(0 < crop_pct <= 1, "crop_pct", crop_pct, "in (0, 1]")
    return math.floor(target[0] / crop_pct), math.floor(target[1] / crop_pct)


def resized_size(
    height: Any, width: Any, cover: tuple[Any, Any], maximum: Callable[[Any, Any], Any] = max
) -> tuple[Any, Any]:
    """Computes the smallest (height, width) of the image's aspect that covers `cover`.

    For a square `cover` this is torchvision's `Resize(side)`: the shorter side becomes `side`,
    the longer one `int(side * long / short)`. Tensors need their backend's `maximum`.
    """
    return (
        maximum(cover[0], cover[1] * height // width),
        maximum(cover[1], cover[0] * width // height),
    )


def crop_offset(resized: Any, target: Any) -> Any:
    """Computes the start of a side's center crop: torchvision's `int(round(spare / 2))`."""
    spare = resized - target
    half = spare // 2
    return half + (spare % 2) * (half % 2)  # Python rounds a half to the even number


def resize_and_crop(image: np.ndarray, target: Size, crop_pct: float) -> np.ndarray:
    """Resizes an (h, w, 3) uint8 image with Pillow's antialiased bicubic filter, to its center."""
    height, width = image.shape[:2]
    resized = resized_size(height, width, cover_size(target, crop_pct))
    top, left = (crop_offset(resized[i], target[i]) for i in (0, 1))
    # One axis a call, columns first: Pillow's newer versions swap the order of its two rounded
    # passes for some sizes, which shows by up to 20 levels.
    image = _resize_columns(image, resized[1], left, target[1])
    image = _resize_columns(image.transpose(1, 0, 2), resized[0], top, target[0])
    return np.ascontiguousarray(image.transpose(1, 0, 2))


def _resize_columns(image: np.ndarray, resized: int, offset: int, size: int) -> np.ndarray:
    """Resizes the columns to `resized`; returns `size` of them from `offset`."""
    from PIL import Image

    rows, columns = image.shape[:2]
    pillow_image = Image.fromarray(np.ascontiguousarray(image))
    if rows * resized <= MAX_PIXELS:
        resized_image = pillow_image.resize((resized, rows), Image.Resampling.BICUBIC)
        return np.asarray(resized_image)[:, offset : offset + size]
    # A sliver of an image, 4000 x 1 say, would grow without bounds. Pillow's box makes the
    # wanted pixels alone, but keeps its bounds in single precision: off by one level at times.
    scale = columns / resized
    box = (offset * scale, 0, min((offset + size) * scale, columns), rows)
    return np.asarray(pillow_image.resize((size, rows), Image.Resampling.BICUBIC, box=box))
