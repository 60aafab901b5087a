"""The training pipeline's steps in Pillow and NumPy, as timm 0.3.4 orders them."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageEnhance, ImageOps

from t2t_keras.images import IMAGENET_MEAN, IMAGENET_STD

_FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
_FILL = tuple(round(255 * channel) for channel in IMAGENET_MEAN)
_MEAN, _STD = (255 * np.float32(color) for color in (IMAGENET_MEAN, IMAGENET_STD))


def pillow_batch(paths: Sequence[Path], size: int, rng: np.random.Generator) -> np.ndarray:
    """One batch: (B, size, size, 3) float32, mixed, normalized and erased."""
    augmented = [_image(path, size, rng) for path in paths]
    images = _mixed(augmented, rng).astype(np.float32)
    images -= _MEAN
    images /= _STD
    for image in images:
        _erase(image, rng)
    return images


def _image(path: Path, size: int, rng: np.random.Generator) -> np.ndarray:
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
    image = _cropped(image, size, rng)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for name in rng.choice(list(_OPS), 2):
        if rng.random() < 0.5:
            share = np.clip(rng.normal(9, 0.5), 0, 10) / 10
            image = _OPS[name](image, share, rng.choice((-1, 1)) * share, rng)
    return np.asarray(image)


def _cropped(image: Image.Image, size: int, rng: np.random.Generator) -> Image.Image:
    for _ in range(10):
        area = image.width * image.height * rng.uniform(0.08, 1)
        ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if width <= image.width and height <= image.height:
            break
    else:
        width = height = min(image.size)
    left = rng.integers(0, image.width - width + 1)
    top = rng.integers(0, image.height - height + 1)
    window = image.crop((left, top, left + width, top + height))
    return window.resize((size, size), _FILTERS[rng.integers(2)])


def _mixed(images: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    made = np.empty((len(images), *images[0].shape), np.uint8)
    height, width, _ = images[0].shape
    pairs = zip(made, images, reversed(images), strict=True)
    if rng.random() < 0.5:
        lam = np.float32(rng.beta(0.8, 0.8))
        for result, image, partner in pairs:
            result[:] = np.rint(image.astype(np.float32) * lam + partner * (1 - lam))
        return made
    side = math.sqrt(1 - rng.beta(1, 1))
    half = int(height * side) // 2, int(width * side) // 2
    center = rng.integers(0, height), rng.integers(0, width)
    box = tuple(slice(max(c - h, 0), c + h) for c, h in zip(center, half, strict=True))
    for result, image, partner in pairs:
        result[:] = image
        result[box] = partner[box]
    return made


def _erase(image: np.ndarray, rng: np.random.Generator) -> None:
    if rng.random() > 0.25:
        return
    rows, columns, _ = image.shape
    for _ in range(10):
        area = rng.uniform(0.02, 1 / 3) * rows * columns
        aspect = math.exp(rng.uniform(math.log(0.3), math.log(1 / 0.3)))
        height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if height < rows and width < columns:
            top, left = rng.integers(0, rows - height + 1), rng.integers(0, columns - width + 1)
            noise = rng.standard_normal((height, width, 3), np.float32)
            image[top : top + height, left : left + width] = noise
            return


def _moved(image: Image.Image, matrix: Sequence[float], rng: np.random.Generator) -> Image.Image:
    transform = Image.Transform.AFFINE
    resample = _FILTERS[rng.integers(2)]
    return image.transform(image.size, transform, matrix, resample, fillcolor=_FILL)


def _solarize_add(image: Image.Image, share: float) -> Image.Image:
    levels = [min(level + int(110 * share), 255) if level < 128 else level for level in range(256)]
    return image.point(levels * 3)


# name -> (image, strength in 0..1, the same with a sign, generator) -> image
_OPS = {
    "AutoContrast": lambda p, s, signed, rng: ImageOps.autocontrast(p),
    "Equalize": lambda p, s, signed, rng: ImageOps.equalize(p),
    "Invert": lambda p, s, signed, rng: ImageChops.invert(p),
    "Rotate": lambda p, s, signed, rng: p.rotate(
        30 * signed, _FILTERS[rng.integers(2)], fillcolor=_FILL
    ),
    "Posterize": lambda p, s, signed, rng: ImageOps.posterize(p, max(4 - int(4 * s), 1)),
    "Solarize": lambda p, s, signed, rng: ImageOps.solarize(p, 256 - int(256 * s)),
    "SolarizeAdd": lambda p, s, signed, rng: _solarize_add(p, s),
    "Color": lambda p, s, signed, rng: ImageEnhance.Color(p).enhance(1 + 0.9 * signed),
    "Contrast": lambda p, s, signed, rng: ImageEnhance.Contrast(p).enhance(1 + 0.9 * signed),
    "Brightness": lambda p, s, signed, rng: ImageEnhance.Brightness(p).enhance(1 + 0.9 * signed),
    "Sharpness": lambda p, s, signed, rng: ImageEnhance.Sharpness(p).enhance(1 + 0.9 * signed),
    "ShearX": lambda p, s, signed, rng: _moved(p, (1, 0.3 * signed, 0, 0, 1, 0), rng),
    "ShearY": lambda p, s, signed, rng: _moved(p, (1, 0, 0, 0.3 * signed, 1, 0), rng),
    "TranslateX": lambda p, s, signed, rng: _moved(
        p, (1, 0, 0.45 * signed * p.width, 0, 1, 0), rng
    ),
    "TranslateY": lambda p, s, signed, rng: _moved(
        p, (1, 0, 0, 0, 1, 0.45 * signed * p.height), rng
    ),
}
