"""The results of a finished run: files for programs, plots and lines for people."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from t2t_keras.cli.models import METRICS_NAME, MODEL_NAME, OpenedModel
from t2t_keras.data.ops.decode import decode_image
from t2t_keras.data.sources.source import Source
from t2t_keras.errors import ExportError
from t2t_keras.export import export_saved_model, load_saved_model
from t2t_keras.export.saved_model import LABELS_NAME, next_version, write_labels
from t2t_keras.files import write_csv, write_json
from t2t_keras.training import Scores, TrainConfig, TrainResult, settings_of
from t2t_keras.training.checkpoint.store import CHECKPOINTS_NAME
from t2t_keras.training.run_directory import TENSORBOARD_NAME
from t2t_keras.visualize import plot_classes, plot_confusion, plot_curves, plot_mistakes
from t2t_keras.weights.convert import write_model
from t2t_keras.weights.formats import ModelMetadata, read_metadata

PER_CLASS_NAME = "per_class.csv"
PLOTS = ("curves.png", "confusion_matrix.png", "per_class.png", "mistakes.png")
_VERSION = 1  # of the first SavedModel
FILES = (MODEL_NAME, LABELS_NAME, PER_CLASS_NAME, *PLOTS, str(_VERSION))
_SAMPLES = 5


def write_files(config: TrainConfig, result: TrainResult, folder: Path) -> Path:
    """Writes what is missing or older than the last checkpoint; returns the SavedModel's folder."""
    for name, write in _writers(config, result).items():
        if not _is_current(folder / name):
            write(folder / name)
    _show_in_tensorboard(folder, PLOTS)
    newest = folder / str(next_version(folder) - 1)
    if _is_current(newest):
        return newest
    return export_run(result.model, folder / MODEL_NAME)


def _is_current(path: Path) -> bool:
    checkpoints = path.parent / CHECKPOINTS_NAME
    is_kept = path.is_file() or path.is_dir()
    return is_kept and path.stat().st_mtime_ns > checkpoints.stat().st_mtime_ns


def export_run(model: keras.Model, path: Path) -> Path:
    """Exports a model beside its file at `path`; on other backends a TensorFlow process does it."""
    if keras.backend.backend() == "tensorflow":
        metadata = read_metadata(path) or ModelMetadata(())
        preprocessing = OpenedModel(model, metadata).preprocessing
        return export_saved_model(model, metadata.class_names, path.parent, None, preprocessing)
    command = ["-m", "t2t_keras", "export", os.fspath(path), f"--output={path.parent}"]
    environment = {
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ExportError(f"{path}: cannot be exported as a SavedModel.\n{done.stderr}")
    return Path(done.stdout.splitlines()[-1].removeprefix("wrote "))


def _writers(config: TrainConfig, result: TrainResult) -> dict[str, Callable[[Path], None]]:
    scores, names = result.scores, result.sources.training.class_names
    title = (
        f"{config.model} on {config.dataset}: {scores.accuracy:.2%} of {scores.images} test images"
    )
    metadata = ModelMetadata(names, config.crop_pct, **config.normalization)
    curves, confusion, classes, mistakes = PLOTS
    return {
        MODEL_NAME: lambda path: write_model(result.model, path, metadata),
        LABELS_NAME: lambda path: write_labels(path, names),
        PER_CLASS_NAME: lambda path: _write_table(scores, names, path),
        curves: lambda path: plot_curves(result.history, path, title, result.best_epoch),
        confusion: lambda path: plot_confusion(scores.confusion, names, path, title),
        classes: lambda path: plot_classes(scores.per_class(), names, path, title),
        mistakes: lambda path: _plot_mistakes(scores, result.sources.test, path, title),
    }


def _write_table(scores: Scores, names: tuple[str, ...], path: Path) -> None:
    columns = _per_class(scores)
    write_csv(path, [["class", *columns], *zip(names, *columns.values(), strict=True)])


def _per_class(scores: Scores) -> dict[str, list]:
    return {name: np.round(values, 6).tolist() for name, values in scores.per_class().items()}


def _plot_mistakes(scores: Scores, source: Source, path: Path, title: str) -> None:
    names = source.class_names
    images = _images_at([mistake.place for mistake in scores.mistakes], source)
    captions = [
        f"{mistake.confidence:.1%} {names[mistake.predicted]}\nlabel: {names[mistake.label]}"
        for mistake in scores.mistakes
    ]
    plot_mistakes(images, captions, path, f"{title}\nthe most confident mistakes")


def _images_at(places: list[int], source: Source) -> list[np.ndarray]:
    """Returns the images at some places of the evaluation's order, as they are."""
    files = {}
    for place, example in enumerate(source.evaluation().take(max(places, default=-1) + 1)):
        if place in places:
            files[place] = example["image"]
    return [np.asarray(decode_image(files[place])) for place in places]


def _show_in_tensorboard(folder: Path, plots: Sequence[str]) -> None:
    with tf.summary.create_file_writer(str(folder / TENSORBOARD_NAME / "report")).as_default():
        for name in plots:
            image = tf.io.decode_png((folder / name).read_bytes(), channels=3)
            tf.summary.image(name.removesuffix(".png"), image[None], step=0)


def write_metrics(config: TrainConfig, result: TrainResult, folder: Path, seconds: float) -> None:
    """Writes `metrics.json`, the last file of a run: with it the run is finished."""
    history, best, scores = result.history, result.best_epoch, result.scores
    accuracy = "val_ema_accuracy" if config.ema_decay else "val_accuracy"  # of the weights kept
    metrics = {
        "test_accuracy": scores.accuracy,
        "test_top5_accuracy": scores.top5_accuracy,
        "test_loss": scores.loss,
        "test_images": scores.images,
        "selected_on": result.sources.selected_on,
        "best_epoch": best + 1,
        "val_accuracy": history[accuracy][best],
        "train_images": result.sources.training.num_train,
        "parameters": result.model.count_params(),
        "class_names": list(result.sources.training.class_names),
        "per_class": _per_class(scores),
        "epochs": len(history["loss"]),
        "devices": result.replicas,
        "fit_seconds": round(result.fit_seconds, 1),
        "total_seconds": round(seconds, 1),
        "keras_version": keras.version(),
        "settings": settings_of(config),
    }
    write_json(folder / METRICS_NAME, metrics)


def classify_samples(version: Path, source: Source) -> list[str]:
    """Classifies a few test images with the SavedModel, and returns a line on each."""
    classify, lines = load_saved_model(version), []
    for example in source.evaluation().take(_SAMPLES):
        outputs = classify(np.asarray(decode_image(example["image"]))[None])
        label = source.class_names[int(example["label"])]
        predicted = outputs["classes"][0, 0].decode()
        verdict = "right" if predicted == label else f"wrong, the label is {label}"
        lines.append(f"  {predicted} ({outputs['probabilities'][0, 0]:.1%}), {verdict}")
    return lines


def summary(
    config: TrainConfig, result: TrainResult, folder: Path, samples: list[str], seconds: float
) -> str:
    """Returns lines on how good the model is, how it was chosen, and what to do next."""
    scores, python = result.scores, os.path.relpath(sys.executable)
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    lines = [
        "",
        f"{config.model} on {config.dataset}, {scores.images} test images: "
        f"{scores}, after {seconds:.0f} s",
        f"Weights of epoch {result.best_epoch + 1}, the best on {result.sources.selected_on}.",
        "",
        "Test images, classified by the SavedModel:",
        *samples,
        "",
        f"Everything is in {folder}: {', '.join(names)}",
        "Next:",
        f"  {python} -m t2t_keras evaluate {folder}",
        f"  {python} -m t2t_keras predict {folder} IMAGES",
        f"  {python} -m tensorboard.main --logdir={folder}",
        f"  docker run -p 8501:8501 -v {folder.absolute()}:/models/{config.model} "
        f"-e MODEL_NAME={config.model} tensorflow/serving",
        f"  {python} -m t2t_keras train --dataset=FOLDER_OF_IMAGES --validation_split=0.1 "
        "--model=t2t_vit_7 --weights=imagenet --transfer --epochs=10",
    ]
    return "\n".join(lines)
