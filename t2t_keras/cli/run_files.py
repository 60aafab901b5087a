"""The files of a finished run: its model, its names and its report."""

import csv
import functools
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from t2t_keras.cli.export import export_run
from t2t_keras.cli.settings import MODEL_NAME
from t2t_keras.data import Source, decode_image
from t2t_keras.export import Preprocessing
from t2t_keras.export.saved_model import LABELS_NAME, write_labels
from t2t_keras.files import atomic_path
from t2t_keras.images.constants import STATISTICS
from t2t_keras.training import Scores, TrainConfig, TrainResult
from t2t_keras.training.epoch import TENSORBOARD_NAME
from t2t_keras.visualize import plot_classes, plot_confusion, plot_curves, plot_mistakes
from t2t_keras.weights.convert import write_model
from t2t_keras.weights.formats import ModelMetadata

PER_CLASS_NAME = "per_class.csv"
PLOTS = ("curves.png", "confusion_matrix.png", "per_class.png", "mistakes.png")
_VERSION = 1  # of the SavedModel
FILES = (MODEL_NAME, LABELS_NAME, PER_CLASS_NAME, *PLOTS, str(_VERSION))


def write_files(config: TrainConfig, result: TrainResult, folder: Path) -> Path:
    """Writes what is missing of a run's files, and all of them where it trained anything.

    Args:
        config: The run's settings.
        result: What it made.
        folder: The run's.

    Returns:
        The folder of its SavedModel.
    """
    wanted = [
        (name, write)
        for name, write in _writers(config, result).items()
        if result.fitted or not (folder / name).exists()
    ]
    for name, write in wanted:
        write(folder / name)
    if plots := [name for name, _ in wanted if name in PLOTS]:
        _show_in_tensorboard(folder, plots)
    mean, std = STATISTICS[config.statistics]
    first = folder / str(_VERSION)
    if first.exists() and not result.fitted:
        return first
    return export_run(
        result.model,
        folder / MODEL_NAME,
        result.sources.training.class_names,
        None if first.exists() else _VERSION,
        Preprocessing(crop_pct=config.crop_pct, mean=mean, std=std),
    )


def _writers(config: TrainConfig, result: TrainResult) -> dict[str, Callable[[Path], None]]:
    scores, names = result.scores, result.sources.training.class_names
    title = (
        f"{config.model} on {config.dataset}: {scores.accuracy:.2%} of {scores.images} test images"
    )
    card = ModelMetadata(names, config.crop_pct, config.statistics)
    curves, confusion, classes, mistakes = PLOTS
    return {
        MODEL_NAME: lambda path: write_model(result.model, path, card),
        LABELS_NAME: functools.partial(_write_labels, names),
        PER_CLASS_NAME: functools.partial(_write_table, scores, names),
        curves: lambda path: plot_curves(result.history, path, title, result.best_epoch),
        confusion: lambda path: plot_confusion(scores.confusion, names, path, title),
        classes: lambda path: plot_classes(scores.per_class(), names, path, title),
        mistakes: lambda path: _draw_mistakes(scores, result.sources.test, path, title),
    }


def _write_labels(names: tuple[str, ...], path: Path) -> None:
    with atomic_path(path) as part:
        write_labels(part, names)


def _write_table(scores: Scores, names: tuple[str, ...], path: Path) -> None:
    columns = scores.per_class()
    with atomic_path(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["class", *columns])
        for name, *row in zip(names, *columns.values(), strict=True):
            writer.writerow([name, *(round(value, 6) for value in row)])


def _draw_mistakes(scores: Scores, source: Source, path: Path, title: str) -> None:
    names = source.class_names
    images = _images_at({mistake.place for mistake in scores.mistakes}, source)
    captions = [
        f"{mistake.confidence:.1%} {names[mistake.predicted]}\nit is {names[mistake.label]}"
        for mistake in scores.mistakes
    ]
    shown = [images[mistake.place] for mistake in scores.mistakes]
    plot_mistakes(shown, captions, path, f"{title}\nthe most confident mistakes")


def _images_at(places: set[int], source: Source) -> dict[int, np.ndarray]:
    """The images at some places of the evaluation's order, as they are."""
    found = {}
    last = max(places, default=-1)
    for place, example in enumerate(itertools.islice(source.evaluation(), last + 1)):
        if place in places:
            found[place] = np.asarray(decode_image(example["image"]))
    return found


def _show_in_tensorboard(folder: Path, plots: list[str]) -> None:
    with tf.summary.create_file_writer(str(folder / TENSORBOARD_NAME / "report")).as_default():
        for name in plots:
            image = tf.io.decode_png((folder / name).read_bytes(), channels=3)
            tf.summary.image(name.removesuffix(".png"), image[None], step=0)
