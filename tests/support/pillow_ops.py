"""Pillow's operations, which the augmentation must equal, and images to try them on."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from PIL import Image, ImageEnhance
from sklearn.datasets import load_sample_images

from tests.support.images import noise

SIZE = (48, 64)  # one for all tests, for XLA compiles once a size
FILL = (124, 116, 104)


def images() -> dict[str, np.ndarray]:
    """A photograph's window, pure noise, noise of few levels, one color, and nearly black."""
    photo = load_sample_images().images[0][150 : 150 + SIZE[0], 250 : 250 + SIZE[1]]
    flat = np.full((*SIZE, 3), (3, 200, 255), np.uint8)
    return {
        "photo": np.ascontiguousarray(photo),
        "noise": noise(*SIZE),
        "muted": (noise(*SIZE, seed=1) // 8 + 90).astype(np.uint8),
        "flat": flat,
        "dark": (noise(*SIZE, seed=2) > 250).astype(np.uint8),
    }


def enhanced(name: str, factor: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: getattr(ImageEnhance, name)(image).enhance(factor)


def solarized_add(added: int) -> Callable[[Image.Image], Image.Image]:
    table = [min(255, level + added) if level < 128 else level for level in range(256)]
    return lambda image: image.point(table * 3)


def transformed(matrix, bicubic: bool) -> Callable[[Image.Image], Image.Image]:
    options = {"resample": _filter(bicubic), "fillcolor": FILL}
    return lambda image: image.transform(image.size, Image.Transform.AFFINE, matrix, **options)


def rotated(degrees: float, bicubic: bool) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.rotate(degrees, _filter(bicubic), fillcolor=FILL)


def _filter(bicubic: bool) -> Image.Resampling:
    return Image.Resampling.BICUBIC if bicubic else Image.Resampling.BILINEAR


def levels_off(mine, theirs, image: np.ndarray) -> np.ndarray:
    """Levels between an op of ours and one of Pillow's, in every value."""
    made = mine(tf.constant(image)).numpy()
    wanted = np.asarray(theirs(Image.fromarray(image)))
    assert made.dtype == np.uint8 and made.shape == wanted.shape
    return np.abs(made.astype(int) - wanted)
