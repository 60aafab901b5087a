"""The command `predict`: the most probable classes of images, as lines or as a CSV file."""

import csv
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from absl import flags
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from t2t_keras.cli.classifier import Classifier, open_classifier
from t2t_keras.cli.main import echo
from t2t_keras.data.sources.folder import SUFFIXES
from t2t_keras.errors import DataError, check
from t2t_keras.files import atomic_path

_log = logging.getLogger(__name__)

Prediction = tuple[str, list[tuple[str, float]]]  # a file; its classes and their probabilities


def run(values: flags.FlagValues, arguments: list[str]) -> int:
    """Classifies images; returns 1 where some were skipped."""
    model, *images = arguments
    crop_pct, output = values.crop_pct, values.output
    check(crop_pct is None or 0 < crop_pct <= 1, "crop_pct", crop_pct, "in (0, 1]")
    writable = not output or Path(output).absolute().parent.is_dir() and not Path(output).is_dir()
    check(writable, "output", output, "a file in an existing folder")
    files, skipped = find_images(images)
    total = len(files) + len(skipped)
    classifier = open_classifier(
        model, values.labels, values.num_heads, crop_pct, values.statistics
    )
    with logging_redirect_tqdm([logging.getLogger("t2t_keras")]):
        for message in skipped:
            _log.error("skipped: %s", message)
        predictions = list(_predict(classifier, files, values.batch_size, values.top, skipped))
    if output:
        _write(predictions, Path(output))
        echo(f"wrote {output}: {len(predictions)} images")
    else:
        for file, classes in predictions:
            echo(f"{file}: " + ", ".join(f"{name} {share:.1%}" for name, share in classes))
    if skipped:
        _log.error("%d of %d skipped", len(skipped), total)
    return 1 if skipped else 0


def find_images(paths: list[str]) -> tuple[list[str], list[str]]:
    """Lists the image files of paths, and a message on each path that has none.

    A file that is named always counts; of a folder, and all below it, the images by suffix.
    """
    files, wrong = [], []
    for path in paths:
        if os.path.isdir(path):
            errors: list[OSError] = []
            found = [
                os.path.join(folder, name)
                for folder, names in _walk(path, errors)
                for name in names
                if name.lower().endswith(SUFFIXES)
            ]
            files += found
            wrong += [f"{error.filename}: cannot be read ({error.strerror})." for error in errors]
            if not found and not errors:
                wrong.append(f"{path}: no images there. Looked for: {', '.join(SUFFIXES)}.")
        elif os.path.exists(path):
            files.append(path)
        else:
            wrong.append(f"{path}: no such file or folder.")
    if not files:
        raise DataError("\n".join(wrong))
    return files, wrong


def _walk(root: str, errors: list[OSError]) -> Iterator[tuple[str, list[str]]]:
    """Yields folders and their files in order, without hidden ones."""
    for folder, folders, names in os.walk(root, onerror=errors.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield folder, sorted(name for name in names if not name.startswith("."))


def _predict(
    classifier: Classifier, files: list[str], batch_size: int, top: int, skipped: list[str]
) -> Iterator[Prediction]:
    """Classifies in full batches; files that cannot be read are logged and added to `skipped`."""
    batch: list[tuple[str, np.ndarray]] = []
    for number, file in enumerate(tqdm(files, unit="image", disable=None), 1):
        try:
            batch.append((file, classifier.read(file)))
        except DataError as error:
            _log.error("skipped: %s", error)
            skipped.append(str(error))
        if batch and (len(batch) == batch_size or number == len(files)):
            rows = classifier.probabilities([image for _, image in batch])
            for (name, _), row in zip(batch, rows, strict=True):
                best = np.argsort(-row, kind="stable")[:top]
                yield name, [(classifier.class_names[index], float(row[index])) for index in best]
            batch = []


def _write(predictions: list[Prediction], path: Path) -> None:
    with atomic_path(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "rank", "class", "probability"])
        for name, classes in predictions:
            for rank, (label, probability) in enumerate(classes, 1):
                writer.writerow([name, rank, label, f"{probability:.6f}"])
