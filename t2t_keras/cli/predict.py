"""The work of `python -m t2t_keras.predict`."""

import csv
import dataclasses
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from t2t_keras.cli.classifiers import Classifier, open_classifier
from t2t_keras.cli.main import echo, exit_code, show_log
from t2t_keras.data.sources.folder import SUFFIXES
from t2t_keras.errors import DataError
from t2t_keras.files import atomic_path

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class PredictCommand:
    """What is asked for; the flags of `t2t_keras.predict` say what each means."""

    model: str
    images: tuple[str, ...]
    top: int = 5
    output: str | None = None
    batch_size: int = 32
    labels: str | None = None
    num_heads: int | None = None
    crop_pct: float | None = None
    statistics: str | None = None


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The likeliest classes of an image, best first, each with its probability."""

    file: str
    classes: tuple[tuple[str, float], ...]


def run(command: PredictCommand, debug: bool = False) -> int:
    """Classifies, writes or says what came of it, and returns the exit code.

    Args:
        command: What to do.
        debug: Let errors through, with their traceback.

    Returns:
        0; 1 where an image was skipped or nothing could be done.
    """
    show_log(sys.stderr)
    return exit_code(lambda: _predict(command), debug)


def _predict(command: PredictCommand) -> int:
    _check(command)
    files, skipped = _files(command.images)
    lost = len(skipped)
    classifier = open_classifier(
        command.model, command.labels, command.num_heads, command.crop_pct, command.statistics
    )
    with logging_redirect_tqdm([logging.getLogger("t2t_keras")]):
        for message in skipped:
            _log.error("skipped: %s", message)
        predictions = list(_predictions(classifier, files, command, skipped))
    if command.output is not None:
        _write(predictions, Path(command.output))
        echo(f"wrote {command.output}: {len(predictions)} images")
    else:
        for prediction in predictions:
            found = ", ".join(f"{name} {share:.1%}" for name, share in prediction.classes)
            echo(f"{prediction.file}: {found}")
    if skipped:
        _log.error("%d of %d skipped", len(skipped), len(files) + lost)
    return 1 if skipped else 0


def _check(command: PredictCommand) -> None:
    for name in ("top", "batch_size"):
        if (value := getattr(command, name)) < 1:
            raise ValueError(f"--{name} must be at least 1. Received: --{name}={value}")
    if command.crop_pct is not None and not 0 < command.crop_pct <= 1:
        raise ValueError(f"--crop_pct must be in (0, 1]. Received: --crop_pct={command.crop_pct}")
    if command.output is None:
        return
    folder = Path(command.output).absolute().parent
    if not folder.is_dir() or Path(command.output).is_dir():
        raise ValueError(
            f"--output must be a file in an existing folder. Received: --output={command.output}"
        )


def _files(images: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """The files that are meant, and what is wrong with the paths that give none.

    A file that is named is always meant; of a folder, and what lies below, the images by suffix.
    """
    files, wrong = [], []
    for path in images:
        if os.path.isdir(path):
            refused = []
            below = list(_below(path, refused.append))
            files += below
            wrong += [f"{error.filename}: cannot be read ({error.strerror})." for error in refused]
            if not below and not refused:
                wrong.append(f"{path}: no images there. Looked for: {', '.join(SUFFIXES)}.")
        elif os.path.exists(path):
            files.append(path)
        else:
            wrong.append(f"{path}: no such file or folder.")
    if not files:
        raise DataError("\n".join(wrong))
    return files, wrong


def _below(folder: str, refused: Callable[[OSError], None]) -> Iterator[str]:
    for place, folders, names in os.walk(folder, onerror=refused):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield os.path.join(place, name)


def _predictions(
    classifier: Classifier, files: list[str], command: PredictCommand, skipped: list[str]
) -> Iterator[Prediction]:
    """Classifies in full batches; what cannot be read is named, and added to `skipped`."""
    batch: list[tuple[str, np.ndarray]] = []
    for file in tqdm(files, unit="image", disable=None):
        try:
            batch.append((file, classifier.read(file)))
        except DataError as error:
            _log.error("skipped: %s", error)
            skipped.append(str(error))
        if len(batch) == command.batch_size:
            yield from _classified(classifier, batch, command.top)
            batch = []
    if batch:
        yield from _classified(classifier, batch, command.top)


def _classified(
    classifier: Classifier, batch: list[tuple[str, np.ndarray]], top: int
) -> Iterator[Prediction]:
    rows = classifier.probabilities([image for _, image in batch])
    for (file, _), row in zip(batch, rows, strict=True):
        best = np.argsort(-row, kind="stable")[:top]
        classes = tuple((classifier.class_names[index], float(row[index])) for index in best)
        yield Prediction(file, classes)


def _write(predictions: list[Prediction], path: Path) -> None:
    with atomic_path(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "rank", "class", "probability"])
        for prediction in predictions:
            for rank, (name, share) in enumerate(prediction.classes, 1):
                writer.writerow([prediction.file, rank, name, f"{share:.6f}"])
