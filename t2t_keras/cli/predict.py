"""The command `predict`: the most probable classes of images, as lines or as a CSV file."""

import dataclasses
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from t2t_keras.cli.flags import MODEL, check_target, pick
from t2t_keras.cli.main import echo
from t2t_keras.cli.models import MODEL_NAME, OpenedModel, check_names, open_model, read_labels
from t2t_keras.data.ops.color import normalize
from t2t_keras.data.sources.folder import SUFFIXES, ignored_counted, why_ignored
from t2t_keras.errors import CheckpointError, DataError, check
from t2t_keras.export import load_saved_model
from t2t_keras.export.saved_model import LABELS_NAME
from t2t_keras.files import write_csv
from t2t_keras.images import load_image, read_rgb
from t2t_keras.models.structure import parts_of
from t2t_keras.weights.formats import FILE_ERRORS

_log = logging.getLogger(__name__)

Prediction = tuple[str, list[tuple[str, float]]]  # a file; its classes and their probabilities


@dataclasses.dataclass(frozen=True, eq=False)
class Classifier:
    """Any model: its class names, its preprocessing of a file, and the (N, C) probabilities: by
    the model's own activation, or softmax where it has none."""

    class_names: tuple[str, ...]
    read: Callable[[str], np.ndarray]
    probabilities: Callable[[list[np.ndarray]], np.ndarray]


def open_classifier(source: str, labels: str | None = None, **given: Any) -> Classifier:
    """Opens a SavedModel, the folder of its versions, or what `open_model` takes."""
    if (Path(source) / MODEL_NAME).is_file() or (version := _saved_model(Path(source))) is None:
        return _of_model(open_model(source, labels=labels, **given), source)
    for name, value in given.items():
        check(value is None, name, value, "left out with a SavedModel, whose graph decides it")
    return _of_saved_model(version, labels)


def _saved_model(folder: Path) -> Path | None:
    """Returns the folder of a SavedModel: `folder`, or its highest version."""
    if (folder / "saved_model.pb").is_file():
        return folder
    versions = [path.parent for path in folder.glob("*/saved_model.pb")]  # such as 00000001
    numbered = [path for path in versions if path.name.isascii() and path.name.isdecimal()]
    return max(numbered, key=lambda path: int(path.name), default=None)


def _of_model(opened: OpenedModel, source: str) -> Classifier:
    model, preprocessing = opened.model, opened.preprocessing
    if not opened.class_names:
        raise CheckpointError(
            f"{source}: holds no classifier of this package. Give a model with one (include_top)."
        )
    outputs = model.output
    if parts_of(model).head.activation is keras.activations.linear:
        outputs = keras.layers.Softmax(dtype="float32")(outputs)
    classify = keras.Model(model.input, outputs)

    def probabilities(images: list[np.ndarray]) -> np.ndarray:
        pixels = normalize(np.stack(images), preprocessing.mean, preprocessing.std)
        return classify.predict_on_batch(pixels)

    def read(file: str) -> np.ndarray:
        return load_image(file, opened.image_size, preprocessing.crop_pct)

    return Classifier(opened.class_names, read, probabilities)


def _of_saved_model(version: Path, labels: str | None) -> Classifier:
    try:
        classify = load_saved_model(version)
        blank = classify(np.zeros((1, 32, 32, 3), np.uint8))
        logits, best = blank["logits"], blank["probabilities"][0, 0]
    except (tf.errors.OpError, *FILE_ERRORS) as error:
        raise CheckpointError(
            f"{version}: cannot be used: it is damaged, or no SavedModel that this package wrote. "
            f"Export the model again. ({type(error).__name__}: {str(error).strip()[:300]})"
        ) from error
    kept = version / "assets" / LABELS_NAME
    if labels is None and not kept.is_file():
        raise CheckpointError(
            f"{kept}: is missing. Give the class names as `labels`, a file with one per line, or "
            "export the model again."
        )
    names = read_labels(labels or str(kept))
    check_names(names, logits.shape[1], version)
    # The graph gives the best classes' probabilities alone: which activation do they come from?
    softmax = abs(keras.ops.max(keras.ops.softmax(logits)) - best) < 1e-4

    def probabilities(images: list[np.ndarray]) -> np.ndarray:
        # One at a time: each has its own size.
        logits = np.concatenate([classify(image[None])["logits"] for image in images])
        activation = keras.ops.softmax if softmax else keras.ops.sigmoid
        return keras.ops.convert_to_numpy(activation(logits))

    return Classifier(names, read_rgb, probabilities)


def find_images(paths: list[str]) -> tuple[list[str], list[str]]:
    """Lists files that are named and images below folders, and a message on each path with none."""
    files, wrong = [], []
    for path in paths:
        if os.path.isdir(path):
            errors: list[OSError] = []
            found = list(_images_below(path, errors))
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


def _images_below(root: str, errors: list[OSError]) -> Iterator[str]:
    """Yields the images of a folder and all below it in order; logs what else lies there."""
    with ignored_counted(root) as ignored:
        for folder, folders, names in os.walk(root, onerror=errors.append):
            ignored["hidden"] += sum(name.startswith(".") for name in folders)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            ignored["link to a folder"] += sum(Path(folder, name).is_symlink() for name in folders)
            for name in sorted(names):
                if kind := why_ignored(Path(folder, name)):
                    ignored[kind] += 1
                else:
                    yield os.path.join(folder, name)


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


def run(values: flags.FlagValues, arguments: list[str]) -> int:
    """Classifies images; returns 1 where some were skipped."""
    model, *images = arguments
    output = values.output
    if output:
        check_target("output", output, overwrite=True)
    files, skipped = find_images(images)
    total = len(files) + len(skipped)
    classifier = open_classifier(model, **pick(values, MODEL))
    with logging_redirect_tqdm([logging.getLogger("t2t_keras")]):
        for message in skipped:
            _log.error("skipped: %s", message)
        predictions = list(_predict(classifier, files, values.batch_size, values.top, skipped))
    if output:
        rows = [
            [file, rank, label, f"{probability:.6f}"]
            for file, classes in predictions
            for rank, (label, probability) in enumerate(classes, 1)
        ]
        write_csv(Path(output), [["file", "rank", "class", "probability"], *rows])
        echo(f"wrote {output}: {len(predictions)} images")
    else:
        for file, classes in predictions:
            echo(f"{file}: " + ", ".join(f"{name} {value:.1%}" for name, value in classes))
    if skipped:
        _log.error("%d of %d skipped", len(skipped), total)
    return 1 if skipped else 0
