"""Pillow's operations, which the augmentation must equal, and images to try them on."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps
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


def _filter(bicubic: bool) -> Image.Resampling:
    return Image.Resampling.BICUBIC if bicubic else Image.Resampling.BILINEAR


def _solarize_add(image: Image.Image, added: int) -> Image.Image:
    return image.point([level + added * (level < 128) for level in range(256)] * 3)


def _enhance(name: str) -> Callable[[Image.Image, float], Image.Image]:
    return lambda image, factor: getattr(ImageEnhance, name)(image).enhance(factor)


def _affine(matrix: Callable) -> Callable[[Image.Image, float, bool], Image.Image]:
    """The transform of `matrix(amount)`, bicubic or bilinear."""
    kind = Image.Transform.AFFINE
    return lambda image, amount, bicubic: image.transform(
        image.size, kind, matrix(amount), _filter(bicubic), fillcolor=FILL
    )


# RandAugment's op -> what Pillow does with an image and the op's amount.
REFERENCE: dict[str, Callable[..., Image.Image]] = {
    "AutoContrast": ImageOps.autocontrast,
    "Equalize": ImageOps.equalize,
    "Invert": ImageOps.invert,
    "Posterize": lambda x, bits: ImageOps.posterize(x, bits) if bits else x.point([0] * 768),
    "Solarize": ImageOps.solarize,
    "SolarizeAdd": _solarize_add,
    **{name: _enhance(name) for name in ("Color", "Contrast", "Brightness", "Sharpness")},
    "Rotate": lambda image, degrees, bicubic: image.rotate(
        degrees, _filter(bicubic), fillcolor=FILL
    ),
    "ShearX": _affine(lambda factor: (1, factor, 0, 0, 1, 0)),
    "ShearY": _affine(lambda factor: (1, 0, 0, factor, 1, 0)),
    "TranslateX": _affine(lambda pixels: (1, 0, pixels, 0, 1, 0)),
    "TranslateY": _affine(lambda pixels: (1, 0, 0, 0, 1, pixels)),
}


def levels_off(op: Callable, name: str, image: np.ndarray, *amounts) -> np.ndarray:
    """Levels between an op of ours and the one of that name of Pillow, in every value."""
    made = op(tf.constant(image), *amounts).numpy()
    expected = np.asarray(REFERENCE[name](Image.fromarray(image), *amounts))
    assert made.dtype == np.uint8 and made.shape == expected.shape
    return np.abs(made.astype(int) - expected)
