"""Plots of attention and feature maps as PNG files: overlays on the image, grids of channels."""

import math
import os
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from t2t_keras.errors import check
from t2t_keras.visualize.plot import save

_COLORS = "viridis"  # even steps of lightness, which the color-blind see as well
_OPACITY = 0.65
_LUMA = np.array([0.299, 0.587, 0.114])  # how bright red, green and blue seem
_WIDTH = 14.0  # of a figure, in inches
_COLUMNS = 8


def _limits(values: np.ndarray) -> tuple[float, float]:
    """The range of the colors; a lone extreme, such as a corner's token, does not stretch it."""
    low, high = np.percentile(values, (1, 99))
    if low == high:
        low, high = values.min(), values.max()
    return float(low), float(high if high > low else low + 1)


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lays a map over a gray version of an image, from dark blue (low) to yellow (high).

    Args:
        image: (H, W, 3) uint8.
        heat: (H, W), as `to_pixels` gives it.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: The map has another size than the image.
    """
    expected = f"of the image's height and width, {image.shape[:2]}, as `to_pixels` gives it"
    check(image.shape == (*heat.shape, 3), "heat", f"an array of shape {heat.shape}", expected)
    low, high = _limits(heat)
    colors = matplotlib.colormaps[_COLORS]((heat - low) / (high - low))[..., :3] * 255
    gray = (image @ _LUMA)[..., None]
    return np.round((1 - _OPACITY) * gray + _OPACITY * colors).astype(np.uint8)


def plot_overlays(
    image: np.ndarray,
    heats: np.ndarray,
    path: str | os.PathLike,
    title: str,
    row_names: Sequence[str] = ("",),
    column_names: Sequence[str] = ("",),
    points: Sequence[tuple[float, float]] = (),
) -> None:
    """Plots an image and, beside it, rows and columns of maps over it.

    Args:
        image: (H, W, 3) uint8.
        heats: (rows, columns, H, W), as `to_pixels` gives them; each has its own range of colors.
        path: Path of the PNG file; replaced whole or not at all.
        title: Title of the plot.
        row_names: A name for each row, such as the block's.
        column_names: A name for each column, such as the head's.
        points: (y, x) in pixels, marked on the image.

    Raises:
        ValueError: There are not as many names as rows and columns, or the maps have another size
            than the image.
    """
    rows, columns = heats.shape[:2]
    expected = "names, as many as `heats` has"
    check(len(row_names) == rows, "row_names", row_names, f"{rows} {expected}")
    check(len(column_names) == columns, "column_names", column_names, f"{columns} {expected}")
    width = min(4.0, _WIDTH / (columns + 1))
    height = width * image.shape[0] / image.shape[1]
    size = ((columns + 1) * width + 1, rows * (height + 0.06) + 0.8)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, parse_math=False)
    axes = figure.subplots(rows, columns + 1, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    _show(axes[0, 0], image, "image", "")
    for y, x in points:
        axes[0, 0].plot(x, y, "+", color="black", markersize=13, markeredgewidth=4)
        axes[0, 0].plot(x, y, "+", color="white", markersize=12, markeredgewidth=2)
    for row, (row_name, row_heats) in enumerate(zip(row_names, heats, strict=True)):
        for column, (column_name, heat) in enumerate(zip(column_names, row_heats, strict=True)):
            name = column_name if row == 0 else ""
            side = row_name if column == 0 else ""
            _show(axes[row, column + 1], overlay(image, heat), name, side)
    colors, shrink = ScalarMappable(cmap=_COLORS), min(1.0, 2 / rows)
    bar = figure.colorbar(colors, ax=axes, shrink=shrink, pad=0.01)
    bar.set_ticks([0, 1], labels=["low", "high"])
    bar.set_label("in each map")
    save(figure, path)


def plot_channels(
    channels: np.ndarray, names: Sequence[str], path: str | os.PathLike, title: str
) -> None:
    """Plots each map in shades of gray, black where it is low and white where it is high.

    Args:
        channels: (K, h, w), at least one map.
        names: A name for each map.
        path: Path of the PNG file; replaced whole or not at all.
        title: Title of the plot.

    Raises:
        ValueError: There are not as many names as maps.

    Reference: arXiv:2101.11986, figure 2.
    """
    expected = f"a name for each of the {len(channels)} channels, of which there is at least one"
    check(0 < len(channels) == len(names), "names", names, expected)
    columns = min(_COLUMNS, len(channels))
    rows = math.ceil(len(channels) / columns)
    width = min(4.0, _WIDTH / columns)
    height = width * channels.shape[1] / channels.shape[2]
    size = (columns * width, rows * (height + 0.3) + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, parse_math=False)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, channel, name in zip(axes.flat[: len(channels)], channels, names, strict=True):
        low, high = _limits(channel)
        axis.imshow(channel, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        axis.set_title(name, fontsize=8, parse_math=False)
    save(figure, path)


def _show(axis: Axes, image: np.ndarray, name: str, side: str) -> None:
    axis.set_axis_on()
    axis.imshow(image)
    axis.set_title(name, fontsize=9, parse_math=False)
    axis.set_ylabel(side, fontsize=8, parse_math=False)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
