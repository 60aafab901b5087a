"""The maps of stages and blocks as arrays: channels, logits, and which patches are alike."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from t2t_keras.errors import check
from t2t_keras.models.structure import Grid, logits_of, parts_of, require_head
from t2t_keras.visualize.forward import map_of, map_size, run, to_numpy


def cells_at(
    points: Sequence[tuple[float, float]],
    size: tuple[int, int],
    grid: Grid,
    cells: tuple[int, int],
) -> list[tuple[int, int]]:
    """The cells whose centers are nearest to (y, x) points in an image of `size` pixels."""
    check(len(points) > 0, "points", points, "a list of at least one (y, x) in pixels")
    found = []
    for point in points:
        inside = len(point) == 2 and 0 <= point[0] < size[0] and 0 <= point[1] < size[1]
        expected = f"(y, x) inside the image, {size[0]} x {size[1]} pixels"
        check(inside, "points", point, expected)
        nearest = [round((at - grid.first) / grid.stride) for at in point]
        row, column = (min(max(n, 0), c - 1) for n, c in zip(nearest, cells, strict=True))
        found.append((row, column))
    return found


def _interpolation(pixels: int, cells: int, grid: Grid) -> np.ndarray:
    """(pixels, cells) weights of each cell in each pixel; flat beyond the last center."""
    position = np.clip((np.arange(pixels) - grid.first) / grid.stride, 0, cells - 1)
    return np.maximum(0.0, 1.0 - np.abs(position[:, None] - np.arange(cells)))


def to_pixels(
    model: keras.Model, maps: np.ndarray, block: int | str, size: tuple[int, int]
) -> np.ndarray:
    """Interpolates maps to the pixels of their image, linearly between the cells' centers.

    Args:
        model: The model that the maps come from.
        maps: (..., h, w), as this package's functions give them.
        block: The stage or block they come from; the maps of all encoder blocks lie alike.
        size: (height, width) of the image in pixels.

    Returns:
        (..., height, width) float32.

    Raises:
        ValueError: The block is unknown, or its map of such an image has another size.
    """
    parts = parts_of(model)
    grid = parts.grid_of(parts.name_of(block))
    maps = np.asarray(maps, np.float32)
    fit = all(abs(n - s / grid.stride) < 1 for n, s in zip(maps.shape[-2:], size, strict=True))
    expected = f"of an image of {size[0]} x {size[1]} pixels, with a cell every {grid.stride}"
    check(fit, "maps", f"an array of shape {maps.shape}", expected)
    rows, columns = (_interpolation(s, n, grid) for s, n in zip(size, maps.shape[-2:], strict=True))
    return (rows @ maps @ columns.T).astype(np.float32)


def feature_maps(model: keras.Model, images: Any, block: int | str) -> np.ndarray:
    """The map of a stage or block, for images of any size.

    Args:
        model: A model of this package.
        images: (B, H, W, C) preprocessed images.
        block: Name of a stage or block, or number of an encoder block, as `features` takes it.

    Returns:
        (B, h, w, C) float32.

    Raises:
        ValueError: The block is unknown, or the images do not fit.

    Reference: arXiv:2101.11986, figure 2.
    """
    parts = parts_of(model)
    return to_numpy(map_of(parts, images, parts.name_of(block)))


def class_logits(model: keras.Model, images: Any) -> np.ndarray:
    """The classifier's logits, before its activation, for images of any size.

    Args:
        model: A model of this package with its classifier.
        images: (B, H, W, C) preprocessed images.

    Returns:
        (B, classes) float32.

    Raises:
        ValueError: The model has no classifier, or the images do not fit.
    """
    parts = parts_of(model)
    require_head(parts)
    return to_numpy(*run(parts, images, [logits_of(parts)]))


def varied_channels(feature_map: np.ndarray, count: int) -> list[int]:
    """The channels of an (h, w, C) map that vary most over the image, most varied first."""
    return np.argsort(-feature_map.std(axis=(0, 1)), kind="stable")[:count].tolist()


def token_similarity(
    model: keras.Model, images: Any, points: Sequence[tuple[float, float]], block: int | str = -1
) -> np.ndarray:
    """Similarity of all patches to some of them: the cosine of their tokens.

    Args:
        model: A model of this package.
        images: (B, H, W, C) preprocessed images.
        points: (y, x) in pixels; each selects the patch whose center is nearest.
        block: Stage or block whose outputs are compared.

    Returns:
        (B, Q, h, w) float32 in [-1, 1], 1 at the point itself.

    Raises:
        ValueError: The block is unknown, a point lies outside, or the images do not fit.
    """
    parts = parts_of(model)
    name = parts.name_of(block)
    size, cells = np.shape(images)[1:3], map_size(parts, images, name)
    places = cells_at(points, size, parts.grid_of(name), cells)
    maps = to_numpy(map_of(parts, images, name))
    unit = maps / np.maximum(np.linalg.norm(maps, axis=-1, keepdims=True), 1e-12)
    asked = np.stack([unit[:, row, column] for row, column in places], axis=1)
    return np.clip(np.einsum("bqc,bhwc->bqhw", asked, unit), -1.0, 1.0)
