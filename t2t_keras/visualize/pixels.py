"""Between the cells of a map and the pixels of a picture.

A cell stands for a soft split's window, whose centre is not that of an even share of the picture:
of 14 cells in 224 pixels the first lies at pixel 1, not 7.5.
"""

from collections.abc import Sequence

import keras
import numpy as np

from t2t_keras.models.parts import Grid, parts_of


def cells_at(
    points: Sequence[tuple[float, float]],
    size: tuple[int, int],
    grid: Grid,
    cells: tuple[int, int],
) -> list[tuple[int, int]]:
    """The cells whose centres are nearest to points.

    Args:
        points: (y, x) in pixels.
        size: (height, width) of the picture in pixels.
        grid: Where the cells lie.
        cells: Rows and columns of them.

    Raises:
        ValueError: There is no point, or one lies outside the picture.
    """
    if not len(points):
        raise ValueError("`points` must hold at least one (y, x) in pixels. Received: points=[]")
    found = []
    for point in points:
        if len(point) != 2 or not all(0 <= at < side for at, side in zip(point, size, strict=True)):
            raise ValueError(
                f"`points` must be (y, x) inside the picture, {size[0]} x {size[1]} pixels. "
                f"Received: {point}"
            )
        nearest = [round((at - grid.first) / grid.stride) for at in point]
        row, column = (min(max(n, 0), c - 1) for n, c in zip(nearest, cells, strict=True))
        found.append((row, column))
    return found


def _interpolation(pixels: int, cells: int, grid: Grid) -> np.ndarray:
    """(pixels, cells): what each cell gives to each pixel; beyond the last centre it stays flat."""
    position = np.clip((np.arange(pixels) - grid.first) / grid.stride, 0, cells - 1)
    return np.maximum(0.0, 1.0 - np.abs(position[:, None] - np.arange(cells)))


def to_pixels(
    model: keras.Model, maps: np.ndarray, block: int | str, size: tuple[int, int]
) -> np.ndarray:
    """Lays maps over the picture they are of: linear between the cells' centres.

    Args:
        model: The model that the maps are of.
        maps: (..., h, w), as this package's functions give them.
        block: The stage or block they are of; all encoder blocks lie alike.
        size: (height, width) of the picture in pixels.

    Returns:
        (..., height, width) float32.

    Raises:
        ValueError: The block is unknown, or its map of such a picture has another size.
    """
    parts = parts_of(model)
    grid = parts.grid_of(parts.name_of(block))
    maps = np.asarray(maps, np.float32)
    if any(abs(n - s / grid.stride) >= 1 for n, s in zip(maps.shape[-2:], size, strict=True)):
        raise ValueError(
            f"`maps` must be of a picture of {size[0]} x {size[1]} pixels, with a cell every "
            f"{grid.stride}. Received: maps of shape {maps.shape}"
        )
    rows, columns = (_interpolation(s, n, grid) for s, n in zip(size, maps.shape[-2:], strict=True))
    return (rows @ maps @ columns.T).astype(np.float32)
