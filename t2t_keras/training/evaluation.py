"""How good a run's model is, and what stands in the way of saying so."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from t2t_keras.data.ops.seeds import SINGLE, Shard
from t2t_keras.data.pipeline import eval_dataset, image_errors
from t2t_keras.data.sources.source import Source
from t2t_keras.errors import DataError, TrainingError
from t2t_keras.training.config import TrainConfig
from t2t_keras.training.devices import (
    Batches,
    Devices,
    check_global_batch,
    lost_process,
    make_devices,
)
from t2t_keras.training.model import (
    build_model,
    check_freeze,
    check_run_weights,
    load_run_weights,
    precision,
)
from t2t_keras.training.optimizers.accumulation import check_parts
from t2t_keras.training.recipes import variant_of
from t2t_keras.training.sources import checked_test_source, normalization, open_test_source, padded

_MISTAKES = 24  # as many as a sheet of images shows


@dataclasses.dataclass(frozen=True)
class Mistake:
    """An image whose likeliest class is not its label.

    Args:
        place: The image's, in the order that was evaluated, from 0.
        label: Its class.
        predicted: The likeliest one.
        confidence: That one's probability.
    """

    place: int
    label: int
    predicted: int
    confidence: float


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """What came of an evaluation.

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

    @property
    def images(self) -> int:
        return int(self.confusion.sum())

    def per_class(self) -> dict[str, np.ndarray]:
        """Of every class "precision", "recall", "f1" in [0, 1] and the number of its "images".

        Where nothing was predicted to be of a class, or nothing is, a share of nothing is 0.
        """
        right = np.diagonal(self.confusion)
        labeled, predicted = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        return {
            "precision": right / np.maximum(predicted, 1),
            "recall": right / np.maximum(labeled, 1),
            "f1": 2 * right / np.maximum(labeled + predicted, 1),
            "images": labeled,
        }


def score(logits: np.ndarray, labels: np.ndarray) -> Scores:
    """Compares logits with labels.

    Args:
        logits: (N, C), N at least 1.
        labels: (N,) whole numbers in 0..C-1.
    """
    logits = logits.astype(np.float64)
    of_label = logits[np.arange(len(labels)), labels]
    ranks = _ranks(logits, of_label, labels)
    highest = logits.max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # a broken model's loss is NaN, and that is all it is
        log_sums = highest[:, 0] + np.log(np.exp(logits - highest).sum(axis=1))
        confidences = np.exp(highest[:, 0] - log_sums)
    confusion = np.zeros((logits.shape[1],) * 2, np.int64)
    predicted = logits.argmax(axis=1)
    np.add.at(confusion, (labels, predicted), 1)
    return Scores(
        accuracy=float((ranks < 1).mean()),
        top5_accuracy=float((ranks < 5).mean()),
        loss=float((log_sums - of_label).mean()),
        confusion=confusion,
        mistakes=_mistakes(labels, predicted, confidences),
    )


def _mistakes(
    labels: np.ndarray, predicted: np.ndarray, confidences: np.ndarray
) -> tuple[Mistake, ...]:
    (wrong,) = np.nonzero(predicted != labels)
    worst = wrong[np.argsort(-confidences[wrong], kind="stable")][:_MISTAKES]
    return tuple(
        Mistake(int(i), int(labels[i]), int(predicted[i]), float(confidences[i])) for i in worst
    )


def _ranks(logits: np.ndarray, of_label: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) how many classes stand before the label: of equal ones the first, as `argmax` has it."""
    classes = np.arange(logits.shape[1])
    above = logits > of_label[:, None]
    first = (logits == of_label[:, None]) & (classes < labels[:, None])
    ranks = (above | first).sum(axis=1)
    # Nothing is above a NaN, so a broken model would look perfect.
    return np.where(np.isfinite(logits).all(axis=1), ranks, len(classes))


def check_run(config: TrainConfig, parts: int = 1) -> Devices:
    """Finds a run's devices; refuses, before any work, settings that do not go with them or others.

    Args:
        config: The settings.
        parts: Number of parts that each device takes its share of a batch in.

    Raises:
        ValueError: A setting does not fit the model, this machine or Keras' backend.
    """
    check_run_weights(config)
    check_parts(parts)
    devices = make_devices(config.devices)
    processes = devices.processes.count
    check_freeze(config.freeze, variant_of(config.model).depth, processes)
    check_global_batch(config.batch_size, devices.replicas, parts, processes)
    return devices


def validation_batches(
    config: TrainConfig, source: Source, shard: Shard = SINGLE
) -> tf.data.Dataset:
    """Every evaluation image with its weight; label smoothing belongs to training alone."""
    batches = eval_dataset(
        source,
        config.image_size,
        config.batch_size,
        crop_pct=config.crop_pct,
        shard=shard,
        **normalization(config),
    )
    return padded(batches, config.batch_size, source.num_eval, shard).prefetch(tf.data.AUTOTUNE)


@contextlib.contextmanager
def translate_errors() -> Iterator[None]:
    """Names the image that cannot be read, the full disk, or what memory hangs on."""
    try:
        with image_errors(), lost_process():
            yield
    except (tf.errors.ResourceExhaustedError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        if "No space left" in str(error):  # TensorFlow's name for a full disk too
            raise TrainingError(
                f"The disk is full: {error}. Make room and start the same command again."
            ) from error
        raise TrainingError(
            "Memory is full. Give a smaller --batch_size, --image_size or model, or "
            "--precision=bfloat16."
        ) from error


def predict_and_score(
    model: keras.Model,
    config: TrainConfig,
    source: Source,
    verbose: int,
    feed: Callable[[tf.data.Dataset], Batches] = lambda batches: batches,
) -> Scores:
    """Scores of a model that gives logits, on the evaluation images; `feed` is its devices'."""
    with translate_errors():
        batches = feed(validation_batches(config, source))
        logits = model.predict(batches, verbose=verbose)[: source.num_eval]
        return score(logits, source.eval_split.every_label())


def evaluate(config: TrainConfig, class_names: Sequence[str] = (), verbose: int = 0) -> Scores:
    """Measures the run's `weights` on the evaluation images of its dataset.

    Args:
        config: The settings.
        class_names: The classes the weights were trained on; none where they are not known.
        verbose: Keras' progress: 0 nothing, 1 a bar, 2 a line.

    Raises:
        ValueError: A setting does not fit the dataset or this machine.
        DataError: The dataset, or an image in it, cannot be used, or its classes are others.
        CheckpointError: The weights are damaged or do not fit.
    """
    devices = check_run(config)
    source = checked_test_source(open_test_source(config), config)
    if class_names and tuple(class_names) != source.class_names:
        raise DataError(
            f"{config.dataset}: its classes are {_short(source.class_names)}, those of "
            f"{config.weights} are {_short(class_names)}. Evaluate on a dataset of the same "
            "classes, in the same order."
        )
    with devices.building(), precision(config.precision):
        model = build_model(config, source.num_classes, None, drop_path_rate=0.0)
        load_run_weights(model, config, complete=True)
        model.compile(jit_compile=devices.compiles(config.jit_compile))
    with devices.fitting():
        return predict_and_score(model, config, source, verbose, devices.feed)


def _short(names: Sequence[str]) -> str:
    return f"{len(names)} ({', '.join(names[:3])}, ...)"
