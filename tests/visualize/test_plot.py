import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from t2t_keras.visualize import plot_classes, plot_confusion, plot_curves, plot_mistakes

HISTORY = {
    "loss": [2.0, 1.0, 0.5],
    "val_loss": [1.5, 0.75, 0.7],
    "accuracy": [0.1, 0.6, 0.9],
    "val_accuracy": [0.2, 0.7, 0.65],
    "learning_rate": [1e-6, 1e-3, 5e-4],
}


@pytest.fixture
def figures(monkeypatch):
    """The figures drawn, in order."""
    drawn = []
    init = Figure.__init__

    def remember(self, *args, **kwargs):
        drawn.append(self)
        init(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "__init__", remember)
    return drawn


def test_curves_hold_the_history(tmp_path, figures):
    plot_curves(HISTORY, tmp_path / "curves.png", "a run", best_epoch=1)
    loss, accuracy, rate = figures[0].axes
    assert figures[0].get_suptitle() == "a run"
    titles = [axis.get_title() for axis in (loss, accuracy, rate)]
    assert titles == ["Loss", "Accuracy", "Learning rate"]
    for axis, names in ((loss, ("loss", "val_loss")), (accuracy, ("accuracy", "val_accuracy"))):
        for line, name in zip(axis.lines, names, strict=False):
            np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
            np.testing.assert_array_equal(line.get_ydata(), HISTORY[name])
    assert loss.lines[0].get_marker() == "."  # so that one epoch can be seen
    styles = {(line.get_color(), line.get_linestyle()) for line in loss.lines}
    assert len(styles) == len({style for _, style in styles}) == 3
    legend = [text.get_text() for text in accuracy.get_legend().get_texts()]
    assert legend == ["training", "validation", "weights kept (epoch 2)"]
    with Image.open(tmp_path / "curves.png") as image:
        assert min(image.size) >= 500


def test_a_confusion_matrix_has_true_classes_in_rows(tmp_path, figures):
    counts = np.array([[5, 1, 0], [0, 7, 2], [0, 0, 0]])
    plot_confusion(counts, ["cat", "dog", "a $name_$ " + "x" * 40], tmp_path / "m.png", "a $test_$")
    axis = figures[0].axes[0]
    assert axis.get_title() == "a $test_$"
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("Predicted class", "True class")
    counted = {text.get_position(): text.get_text() for text in axis.texts}
    assert counted == {(0, 0): "5", (1, 0): "1", (1, 1): "7", (2, 1): "2"}
    shares = axis.images[0].get_array()
    np.testing.assert_allclose(shares, [[5 / 6, 1 / 6, 0], [0, 7 / 9, 2 / 9], [0, 0, 0]])
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels[:2] == ["cat", "dog"] and len(labels[2]) == 24
    assert (tmp_path / "m.png").stat().st_size > 1000


@pytest.mark.parametrize(("classes", "named"), [(60, True), (61, False), (300, False)])
def test_many_classes_are_neither_counted_nor_named(classes, named, tmp_path, figures):
    names = [f"class {index}" for index in range(classes)]
    plot_confusion(np.eye(classes, dtype=int), names, tmp_path / "m.png", "many")
    axis = figures[0].axes[0]
    assert not axis.texts
    assert (len(axis.get_xticklabels()) == classes) == named


def test_a_failing_plot_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "curves.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(
        "t2t_keras.visualize.plot.FigureCanvasAgg.print_png",
        lambda canvas, part: part.write_bytes(b"half") and 1 / 0,
    )
    with pytest.raises(ZeroDivisionError):
        plot_curves(HISTORY, path, "a run", best_epoch=0)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def class_scores(classes: int) -> dict[str, np.ndarray]:
    f1 = np.linspace(1.0, 0.1, classes)
    return {"precision": f1, "recall": f1 / 2, "f1": f1}


def test_the_worst_classes_are_named_and_the_rest_counted(tmp_path, figures):
    plot_classes(class_scores(3), ["ash", "elm", "a $name_$"], tmp_path / "few.png", "a $test_$")
    (axis,) = figures[0].axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["a $name_$", "elm", "ash"]
    legend = [label.get_text() for label in figures[0].legends[0].get_texts()]
    assert legend == ["precision", "recall", "F1"]
    plot_classes(class_scores(70), list(map(str, range(70))), tmp_path / "many.png", "many")
    assert figures[1].axes[0].get_title() == "many\n10 better classes left out"
    assert len(figures[1].axes[0].get_yticks()) == 60


@pytest.mark.parametrize("count", [0, 1, 7])
def test_mistakes_are_a_sheet_of_images(count, tmp_path, figures):
    images = [np.full((20 + 5 * number, 30, 3), 40 * number, np.uint8) for number in range(count)]
    captions = [f"oak_$ (9{number}%)\nit is elm" for number in range(count)]
    plot_mistakes(images, captions, tmp_path / "m.png", "a run")
    shown = [axis for axis in figures[0].axes if axis.images]
    assert [axis.get_title() for axis in shown] == captions
    assert figures[0].get_suptitle() == ("a run" if count else "a run\nno mistakes")
    with Image.open(tmp_path / "m.png") as sheet:
        assert min(sheet.size) > 100
