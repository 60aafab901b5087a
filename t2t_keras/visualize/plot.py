"""Plots of a run as PNG files, which are replaced whole or not at all."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from t2t_keras.files import atomic_path


def save(figure: Figure, path: str | os.PathLike) -> None:
    """Writes a figure; the file is replaced whole or not at all."""
    with atomic_path(Path(path)) as part:
        FigureCanvasAgg(figure).print_png(part)


# Okabe and Ito's colors, which color-blind people tell apart; the lines' styles differ too.
_Style = dict[str, Any]
_TRAIN: _Style = {"color": "#0072B2", "linestyle": "--", "marker": ".", "label": "training"}
_VALIDATION: _Style = {"color": "#D55E00", "marker": ".", "label": "validation"}
_KEPT: _Style = {"color": "#555555", "linestyle": ":"}
_CLASS_SCORES: dict[str, _Style] = {
    "precision": {"color": "#0072B2", "marker": "<", "label": "precision"},
    "recall": {"color": "#D55E00", "marker": ">", "label": "recall"},
    "f1": {"color": "black", "marker": "|", "s": 120, "label": "F1"},
}

_SHEET_COLUMNS = 6
_NAMED_CLASSES = 60  # more names than that cannot be read
_COUNTED_CLASSES = 25  # nor can the counts of more classes
_LONGEST_NAME = 24
_FAINT = 0.5  # exponent of the colors: a few confusions in a hundred must still show


def plot_curves(
    history: Mapping[str, Sequence[float]], path: str | os.PathLike, title: str, best_epoch: int
) -> None:
    """Plots loss, accuracy and learning rate over the epochs.

    Args:
        history: The values of every epoch: "loss", "accuracy", "val_loss", "val_accuracy" and
            "learning_rate".
        path: Path of the PNG file.
        title: Title of the plot.
        best_epoch: Epoch, counted from 0, whose weights were kept.
    """
    figure = Figure(figsize=(10, 6.5), layout="constrained")
    figure.suptitle(title, parse_math=False)
    axes = figure.subplot_mosaic(
        [["loss", "accuracy"], ["rate", "rate"]], height_ratios=(3, 1), sharex=True
    )
    epochs = np.arange(1, len(history["loss"]) + 1)
    for name in ("loss", "accuracy"):
        axes[name].plot(epochs, history[name], **_TRAIN)
        axes[name].plot(epochs, history[f"val_{name}"], **_VALIDATION)
        axes[name].set(title=name.capitalize())
    axes["accuracy"].yaxis.set_major_formatter(PercentFormatter(1.0))
    axes["rate"].plot(epochs, history["learning_rate"], color="black", drawstyle="steps-mid")
    axes["rate"].set(title="Learning rate", xlabel="Epoch")
    for axis in axes.values():
        axis.axvline(best_epoch + 1, label=f"weights kept (epoch {best_epoch + 1})", **_KEPT)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.tick_params(labelbottom=True)
        axis.grid(alpha=0.3)
    axes["accuracy"].legend(loc="lower right")
    save(figure, path)


def plot_confusion(
    confusion: np.ndarray, class_names: Sequence[str], path: str | os.PathLike, title: str
) -> None:
    """Plots a confusion matrix.

    Args:
        confusion: (C, C) counts; rows are true classes, columns predicted ones.
        class_names: The C classes' names.
        path: Path of the PNG file.
        title: Title of the plot.
    """
    classes = len(class_names)
    side = float(np.clip(0.45 * classes, 5, 16))
    figure = Figure(figsize=(side + 1.5, side + 1), layout="constrained")
    axis = figure.add_subplot()
    fractions = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    image = axis.imshow(fractions, cmap="Blues", norm=PowerNorm(_FAINT, 0, 1))
    bar = figure.colorbar(image, ax=axis, shrink=0.8, format=PercentFormatter(1.0))
    bar.set_label("fraction of the true class")
    axis.set_title(title, parse_math=False)
    axis.set(xlabel="Predicted class", ylabel="True class")
    if classes <= _NAMED_CLASSES:
        names = [_shortened(name) for name in class_names]
        upright = max(map(len, names)) <= 2
        axis.set_xticks(range(classes), names, rotation=0 if upright else 90, parse_math=False)
        axis.set_yticks(range(classes), names, parse_math=False)
    if classes <= _COUNTED_CLASSES:
        _write_counts(axis, confusion, fractions)
    save(figure, path)


def plot_classes(
    scores: Mapping[str, np.ndarray],
    class_names: Sequence[str],
    path: str | os.PathLike,
    title: str,
) -> None:
    """Plots precision, recall and F1 of every class, the worst at the bottom; at most 60 classes.

    Args:
        scores: "precision", "recall" and "f1", each (C,) in [0, 1].
        class_names: The C classes' names.
        path: Path of the PNG file.
        title: Title of the plot.
    """
    shown = np.argsort(scores["f1"], kind="stable")[:_NAMED_CLASSES]
    places = np.arange(len(shown))
    figure = Figure(figsize=(8, 1.6 + 0.32 * len(shown)), layout="constrained")
    axis = figure.add_subplot()
    axis.hlines(places, 0, 1, color="#dddddd", linewidth=0.8, zorder=0)
    for name, style in _CLASS_SCORES.items():
        axis.scatter(scores[name][shown], places, **style)
    axis.set_yticks(places, [_shortened(class_names[index]) for index in shown], parse_math=False)
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.7, len(shown) - 0.3))
    axis.xaxis.set_major_formatter(PercentFormatter(1.0))
    left_out = len(class_names) - len(shown)
    note = f"\n{left_out} better classes left out" if left_out else ""
    axis.set_title(f"{title}{note}", parse_math=False)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    save(figure, path)


def plot_mistakes(
    images: Sequence[np.ndarray], captions: Sequence[str], path: str | os.PathLike, title: str
) -> None:
    """Plots a sheet of misclassified images, each with its caption.

    Args:
        images: (h, w, 3) uint8 each, of any sizes; an empty list makes a sheet that says so.
        captions: A caption of a few lines for each image.
        path: Path of the PNG file.
        title: Title of the plot.
    """
    columns = max(min(len(images), _SHEET_COLUMNS), 3)
    rows = max(-(-len(images) // columns), 1)
    figure = Figure(figsize=(2.2 * columns, 0.8 + 2.8 * rows), layout="constrained")
    figure.suptitle(title if images else f"{title}\nno mistakes", parse_math=False)
    for number, axis in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axis.set_axis_off()
        if number < len(images):
            axis.imshow(images[number])
            caption = "\n".join(map(_shortened, captions[number].splitlines()))
            axis.set_title(caption, fontsize=8, parse_math=False)
    save(figure, path)


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _write_counts(axis: Axes, confusion: np.ndarray, fractions: np.ndarray) -> None:
    """Writes each count but 0 into its cell, white where the cell is dark."""
    for row, column in zip(*np.nonzero(confusion), strict=True):
        color = "white" if fractions[row, column] ** _FAINT > 0.5 else "black"
        text = str(confusion[row, column])
        axis.text(column, row, text, ha="center", va="center", fontsize=8, color=color)
