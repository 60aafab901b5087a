"""`open_source`: a dataset by name or folder, checked before anything is trained on it."""

import dataclasses
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from t2t_keras.data.ops.graph import plain_options
from t2t_keras.data.settings import DIGITS
from t2t_keras.data.sources.folder import Images, composed, natural_order, scan_folder
from t2t_keras.data.sources.splits import FileSplit, Split
from t2t_keras.data.sources.tfds import (
    choose_splits,
    is_prepared,
    names_of,
    prepared_builder,
    record_split,
    tfds_builder,
)
from t2t_keras.errors import DataError, check

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """Labeled images to train and to evaluate on.

    Args:
        name: The name or folder it was opened by.
        class_names: Names of the classes, in the order of the labels.
        train_split: Training images; None where only evaluation was asked for.
        eval_split: Evaluation images.

    Raises:
        DataError: There are fewer than two classes.
    """

    name: str
    class_names: tuple[str, ...]
    train_split: Split | None
    eval_split: Split

    def __post_init__(self) -> None:
        if len(self.class_names) < 2:
            raise DataError(
                f"{self.name}: has {len(self.class_names)} class; there is nothing to tell apart. "
                "Give at least two classes."
            )

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def num_train(self) -> int:
        return self.train_split.size if self.train_split is not None else 0

    @property
    def num_eval(self) -> int:
        return self.eval_split.size

    def train(self) -> tf.data.Dataset:
        """Reads the training images once, in a fixed order: {"image": bytes, "label": int32}.

        Raises:
            DataError: The source was opened for evaluation only.
        """
        if self.train_split is None:
            raise DataError(f"{self.name}: was opened for evaluation only. Open it to train too.")
        return _examples(self.train_split)

    def evaluation(self) -> tf.data.Dataset:
        """Reads the evaluation images once, in a fixed order; elements as `train`'s."""
        return _examples(self.eval_split)


def open_source(
    name_or_path: str | os.PathLike,
    data_dir: str | os.PathLike | None = None,
    *,
    validation_split: float = 0.0,
    train_split: str | None = None,
    eval_split: str | None = None,
    evaluation_only: bool = False,
    class_names: Sequence[str] = (),
) -> Source:
    """Opens a dataset and checks all that can be checked without decoding its images.

    Args:
        name_or_path: "digits" (scikit-learn's handwritten digits, made without a network); a
            folder, either ROOT/train/CLASS/* with ROOT/val/CLASS/* (or validation, valid, test),
            or ROOT/CLASS/*; any TFDS name, "cifar10" or "imagenet2012:5.1.0"; or a folder that
            TFDS has prepared, with its `dataset_info.json`.
        data_dir: Root of TFDS datasets; None is `$TFDS_DATA_DIR` or `~/tensorflow_datasets`.
        validation_split: Fraction of the training images to evaluate on, in [0, 1); of each class
            in a folder, which must have no evaluation images of its own; the end of TFDS'
            "train" split.
        train_split: TFDS split or slice to train on ("train[:90%]"), given with `eval_split`.
        eval_split: TFDS split or slice to evaluate on.
        evaluation_only: Opens no training images; ROOT may then hold evaluation images alone, and
            ROOT/CLASS/* are all of them.
        class_names: Order of a folder's classes, as a model has them; not used unless they are
            these classes. By default their natural order, numbers by value and letters without
            case, as in timm, which the authors trained with.

    Raises:
        DataError: There is no such dataset, or it cannot be used; one line says what and where.
        ValueError: An argument is out of range, or contradicts another.
    """
    check(0 <= validation_split < 1, "validation_split", validation_split, "in [0, 1)")
    name = os.fspath(name_or_path)
    splits = (train_split, eval_split)
    if is_folder(name, data_dir):
        _refuse_splits("for a folder", splits)
        return _logged(_open_folder(name, validation_split, evaluation_only, class_names))
    if validation_split:
        _refuse_splits("beside `validation_split`", splits)
    if splits != (None, None) and (eval_split is None or (train_split is None) != evaluation_only):
        raise ValueError(
            "`eval_split` must be given with `train_split`, and alone where nothing is trained. "
            f"Received: train_split={train_split}, eval_split={eval_split}"
        )
    builder = _builder(name, data_dir)
    classes = names_of(builder)
    if eval_split is None:
        splits = choose_splits(builder, validation_split, evaluation_only)
    opened: Any = (None if part is None else record_split(builder, part) for part in splits)
    return _logged(Source(name, classes, *opened))


def is_folder(name_or_path: str | os.PathLike, data_dir: str | os.PathLike | None = None) -> bool:
    """Tells whether `open_source` takes this for a folder of images: it looks like one or exists.

    "digits" is none, nor is what TFDS has written as `data_dir`/NAME or what it has prepared.
    """
    name = os.fspath(name_or_path)
    if name != DIGITS and is_prepared(name):
        return False
    if name.startswith((".", "~", os.sep)) or name.endswith(os.sep):
        return True
    of_tfds = "" if data_dir is None else os.path.abspath(os.path.join(data_dir, name))
    return name != DIGITS and os.path.exists(name) and os.path.abspath(name) != of_tfds


def _builder(name: str, data_dir: str | os.PathLike | None) -> Any:
    if name != DIGITS:
        return prepared_builder(name) if is_prepared(name) else tfds_builder(name, data_dir)
    from t2t_keras.data.sources.digits import prepare_digits

    try:
        return prepare_digits(data_dir)
    except OSError as error:
        raise DataError(
            f"{DIGITS}: cannot be written below data_dir={data_dir} ({error}). "
            "Give a `data_dir` that can be written."
        ) from error


def _open_folder(
    name: str, validation_split: float, evaluation_only: bool, class_names: Sequence[str]
) -> Source:
    root = Path(name).expanduser()
    if not root.is_dir():
        raise DataError(f"{root}: no such folder. Check the path.")
    images = scan_folder(root, validation_split, evaluation_only)
    classes, wanted = natural_order(images.evaluation), composed(class_names)
    classes = wanted if natural_order(wanted) == classes else classes
    train = None if evaluation_only else _file_split(images.train, classes)
    return Source(name, classes, train, _file_split(images.evaluation, classes))


def _file_split(images: Images, classes: tuple[str, ...]) -> FileSplit:
    files = [
        (os.fsencode(path), label) for label, name in enumerate(classes) for path in images[name]
    ]
    paths, labels = zip(*files, strict=True)
    return FileSplit(tf.constant(paths), tf.constant(labels, tf.int32))


def _logged(source: Source) -> Source:
    train = "" if source.train_split is None else f"{source.num_train} to train on and "
    counts = (source.num_classes, train, source.num_eval)
    _log.info("%s: %d classes, images: %s%d to evaluate on", source.name, *counts)
    return source


def _refuse_splits(where: str, splits: tuple[str | None, str | None]) -> None:
    if splits != (None, None):
        raise ValueError(
            f"`train_split` and `eval_split` must be None {where}. "
            f"Received: train_split={splits[0]}, eval_split={splits[1]}"
        )


def _examples(split: Split) -> tf.data.Dataset:
    read = split.keys(None).map(split.read, num_parallel_calls=tf.data.AUTOTUNE)
    examples = read.map(lambda image, label: {"image": image, "label": label})
    counted = examples.apply(tf.data.experimental.assert_cardinality(split.size))
    return counted.with_options(plain_options())
