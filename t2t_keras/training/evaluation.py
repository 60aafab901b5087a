"""The scores of a model on a dataset's evaluation images."""

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from t2t_keras.data.sources.folder import composed
from t2t_keras.data.sources.source import Source, is_folder
from t2t_keras.errors import DataError
from t2t_keras.training.config import TrainConfig
from t2t_keras.training.devices.run_devices import Devices
from t2t_keras.training.inputs import translate_errors, validation_batches
from t2t_keras.training.model import build_model, check_run, load_run_weights, precision
from t2t_keras.training.sources import check_test_source, open_test_source

_log = logging.getLogger(__name__)

_MISTAKES = 24  # as many as a sheet of images shows


@dataclasses.dataclass(frozen=True)
class Mistake:
    """An image whose likeliest class is not its label."""

    place: int  # in the order of the evaluation, from 0
    label: int
    predicted: int
    confidence: float  # probability of `predicted`


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """The scores of an evaluation.

    Args:
        accuracy: Fraction of images whose likeliest class is the label, in [0, 1].
        top5_accuracy: Fraction whose label is among the five likeliest classes.
        loss: Mean cross entropy, without label smoothing.
        confusion: (classes, classes) counts; a row a label, a column a predicted class.
        mistakes: The most confident ones, worst first; at most 24.
    """

    accuracy: float
    top5_accuracy: float
    loss: float
    confusion: np.ndarray
    mistakes: tuple[Mistake, ...] = ()

    def __str__(self) -> str:
        """Top-1, and top-5 where there are more than five classes."""
        top1 = f"top-1 {self.accuracy:.2%}"
        return f"{top1}, top-5 {self.top5_accuracy:.2%}" if len(self.confusion) > 5 else top1

    @property
    def images(self) -> int:
        """Number of images."""
        return int(self.confusion.sum())

    def per_class(self) -> dict[str, np.ndarray]:
        """Returns "precision", "recall", "f1" in [0, 1] and "support" (images) of every class.

        Where no image belongs to a class, or none was predicted to, its share of nothing is 0.
        """
        from sklearn.metrics import precision_recall_fscore_support

        labels, predicted = np.indices(self.confusion.shape).reshape(2, -1)
        precision, recall, f1, _ = precision_recall_fscore_support(
            labels,
            predicted,
            labels=range(len(self.confusion)),
            sample_weight=self.confusion.ravel(),
            zero_division=0,
        )
        support = self.confusion.sum(axis=1)
        return {"precision": precision, "recall": recall, "f1": f1, "support": support}


def score(logits: np.ndarray, labels: np.ndarray) -> Scores:
    """Compares logits with labels; an image whose logits are not all finite counts as wrong.

    `confusion` shows it at the class of its highest logit all the same.

    Args:
        logits: (N, C), N at least 1.
        labels: (N,) whole numbers in 0..C-1.
    """
    from sklearn.metrics import confusion_matrix  # a second to import

    logits = logits.astype(np.float64)
    ranked = np.argsort(-logits, axis=1, kind="stable")[:, :5]  # of equal ones the first class
    right = (ranked == labels[:, None]) & np.isfinite(logits).all(axis=1, keepdims=True)
    predicted = ranked[:, 0]
    with np.errstate(invalid="ignore"):  # the loss of a broken model is NaN
        log_sums = np.logaddexp.reduce(logits, axis=1)
        confidences = np.exp(logits.max(axis=1) - log_sums)
        losses = log_sums - logits[np.arange(len(labels)), labels]
    (wrong,) = np.nonzero(predicted != labels)
    worst = wrong[np.argsort(-confidences[wrong], kind="stable")][:_MISTAKES]
    columns = (values[worst].tolist() for values in (labels, predicted, confidences))
    return Scores(
        accuracy=float(right[:, 0].mean()),
        top5_accuracy=float(right.any(axis=1).mean()),
        loss=float(losses.mean()),
        confusion=confusion_matrix(labels, predicted, labels=range(logits.shape[1])),
        mistakes=tuple(map(Mistake, worst.tolist(), *columns)),
    )


def predict_and_score(
    model: keras.Model, config: TrainConfig, source: Source, devices: Devices, verbose: int
) -> Scores:
    """Scores a model that gives logits on the evaluation images."""
    with translate_errors(source, [source.eval_split]), devices.fit_scope():
        batches = devices.distribute(validation_batches(config, source))
        logits = model.predict(batches, verbose=verbose)[: source.num_eval]
        return score(logits, source.eval_split.every_label())


def evaluate(config: TrainConfig, class_names: Sequence[str] = (), verbose: int = 0) -> Scores:
    """Measures the run's `weights` on the evaluation images of its dataset.

    Args:
        config: The settings.
        class_names: The classes the weights were trained on, in the order of their outputs; the
            classes of a folder get that order. Where they are not known, the natural order of a
            folder's class names is taken, and a line of the log says so if another is likely too.
        verbose: Keras' progress: 0 nothing, 1 a bar, 2 a line.

    Raises:
        ValueError: A setting does not fit the dataset or this machine.
        DataError: The dataset, or an image in it, cannot be used, or its classes differ.
        CheckpointError: The weights are damaged or do not fit.
    """
    devices = check_run(config)
    source = check_test_source(open_test_source(config, class_names), config)
    if not class_names and is_folder(config.dataset, config.data_dir):
        _report_order(source.class_names, config.weights)
    if class_names and composed(class_names) != composed(source.class_names):
        raise DataError(
            f"{config.dataset}: its classes are {_short(source.class_names)}, those of "
            f"{config.weights} are {_short(class_names)}. Evaluate on a dataset of the same "
            "classes, in the same order."
        )
    with devices.build_scope(), precision(config.precision):
        model = build_model(config, source.num_classes, None, drop_path_rate=0.0)
        load_run_weights(model, config, complete=True)
        model.compile(jit_compile=devices.use_xla(config.jit_compile))
    return predict_and_score(model, config, source, devices, verbose)


def _report_order(names: Sequence[str], weights: Any) -> None:
    """Logs the order that a folder's classes are taken in, where it is not the only likely one."""
    if sorted(names) != list(names):
        _log.warning(
            "%s: holds no class names, so the folders are taken in natural order, as the authors' "
            "loader takes them: %s. By code points, as torchvision and Keras sort, they would be "
            "%s. If the weights were trained in another order than the first, give the names in "
            "that order (`class_names`, or the flag `labels`).",
            *(weights, _short(names), _short(sorted(names))),
        )


def _short(names: Sequence[str]) -> str:
    return f"{len(names)} ({', '.join(names[:5])}, ...)"
