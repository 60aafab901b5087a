"""How good a model's answers are, from its logits."""

import dataclasses

import numpy as np

_MISTAKES = 24  # as many as a sheet of pictures shows


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A picture whose likeliest class is not its label.

    Args:
        place: The picture's, in the order that was evaluated, from 0.
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
        accuracy: Share of pictures whose likeliest class is the label, in [0, 1].
        top5_accuracy: Share whose label is among the five likeliest classes.
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
    def pictures(self) -> int:
        return int(self.confusion.sum())

    def per_class(self) -> dict[str, np.ndarray]:
        """Of every class "precision", "recall", "f1" in [0, 1] and the number of its "pictures".

        Where nothing was predicted to be of a class, or nothing is, a share of nothing is 0.
        """
        right = np.diagonal(self.confusion)
        labelled, predicted = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        return {
            "precision": right / np.maximum(predicted, 1),
            "recall": right / np.maximum(labelled, 1),
            "f1": 2 * right / np.maximum(labelled + predicted, 1),
            "pictures": labelled,
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
