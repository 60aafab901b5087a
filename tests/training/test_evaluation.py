import numpy as np
import pytest

from t2t_keras.training import score


def test_a_small_table_by_hand():
    logits = np.log([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.5, 0.2, 0.3], [0.1, 0.1, 0.8]])
    scores = score(logits.astype(np.float32), np.array([0, 1, 2, 2]))
    assert (scores.accuracy, scores.top5_accuracy, scores.images) == (0.75, 1.0, 4)
    assert scores.loss == pytest.approx(-np.log([0.7, 0.6, 0.3, 0.8]).mean(), rel=1e-6)
    assert scores.confusion.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 1]]


def test_of_every_class_how_much_was_found_and_how_much_of_it_was_right():
    confusion = np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]])
    labels, predicted = np.repeat(np.argwhere(confusion + 1), confusion.ravel(), axis=0).T
    classes = score(np.eye(3)[predicted], labels).per_class()
    np.testing.assert_allclose(classes["precision"], [1, 2 / 3, 0])
    np.testing.assert_allclose(classes["recall"], [3 / 4, 1, 0])
    np.testing.assert_allclose(classes["f1"], [6 / 7, 4 / 5, 0])
    assert classes["support"].tolist() == [4, 2, 0]


def test_the_most_confident_mistakes_come_first():
    logits = np.log([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.05, 0.9, 0.05]])
    first, second = score(logits, np.array([1, 1, 0])).mistakes
    assert (first.place, first.label, first.predicted) == (2, 0, 1)
    assert (second.place, second.label, second.predicted) == (0, 1, 0)
    assert (first.confidence, second.confidence) == (pytest.approx(0.9), pytest.approx(0.7))
    assert len(score(np.eye(100), np.arange(1, 101) % 100).mistakes) == 24


NAN = np.full((4, 3), np.nan)
NAN[0] = [np.inf, 0, 0]


@pytest.mark.parametrize(
    ("logits", "labels", "expected"),
    [
        (np.zeros((4, 10)), [0, 0, 4, 5], {"accuracy": 0.5, "top5_accuracy": 0.75}),  # the first
        (np.tile(np.arange(10.0), (2, 1)), [5, 4], {"top5_accuracy": 0.5}),
        (NAN, [0] * 4, {"accuracy": 0.0, "top5_accuracy": 0.0, "images": 4}),
        ([[1e4, 0.0]], [1], {"loss": 1e4}),
    ],
)
def test_logits_that_are_equal_broken_or_large(logits, labels, expected):
    scores = score(np.array(logits), np.array(labels))
    assert {name: getattr(scores, name) for name in expected} == pytest.approx(expected)
