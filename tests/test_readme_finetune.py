"""The README's commands from a folder of images to a prediction, on a few small images."""

import csv
import logging
import re
import shlex

import pytest

from t2t_keras import T2TViT
from t2t_keras.cli.main import main
from t2t_keras.training.recipes import SMALL_VARIANTS
from t2t_keras.weights.convert import write_model
from tests.support.images import make_folder
from tests.support.quick_graphs import pytest_runtest_setup, pytest_runtest_teardown
from tests.support.training.tiny_run import TINY
from tests.test_readme import README

__all__ = ["pytest_runtest_setup", "pytest_runtest_teardown"]


@pytest.fixture
def commands() -> list[list[str]]:
    """The arguments of `t2t-keras`, command by command."""
    section = README.partition("### Fine-tune on your images")[2].partition("\n### ")[0]
    lines = re.search(r"```bash\n(.*?)```", section, re.DOTALL)[1].splitlines()
    words = [shlex.split(line) for line in lines]
    assert all(word == ".venv/bin/t2t-keras" for word, *_ in words)
    return [arguments for _, *arguments in words]


def test_a_folder_of_images_comes_to_a_prediction(commands, tmp_path, monkeypatch, capsys):
    """A small model replaces the published one; all else is as the README has it."""
    training, prediction = commands
    monkeypatch.chdir(tmp_path)
    log = logging.getLogger("t2t_keras")
    for name in ("handlers", "propagate", "level"):  # commands take the log for themselves
        monkeypatch.setattr(log, name, getattr(log, name))
    monkeypatch.setitem(SMALL_VARIANTS, "tiny", TINY)
    make_folder(tmp_path / "images/train", {"cat": 8, "dog": 6})
    make_folder(tmp_path / "images/val", {"cat": 2, "dog": 2})
    make_folder(tmp_path / "new_images", {"holiday": 3})
    write_model(T2TViT(TINY, weights=None, classes=10), tmp_path / "start.weights.h5")
    assert {"train", "--transfer", "--dataset=images/"} <= {*training}
    smaller = ["--model=tiny", "--weights=start.weights.h5", "--image_size=32x24"]
    smaller += ["--epochs=1", "--batch_size=4", "--devices=cpu:0"]
    assert main([*training, *smaller]) == 0  # of a flag that is given twice the last value counts
    capsys.readouterr()
    assert main(prediction) == 0
    assert capsys.readouterr().out == "wrote predictions.csv: 3 images\n"
    _, *rows = csv.reader((tmp_path / "predictions.csv").read_text().splitlines())
    assert len(rows) == 6 and {row[2] for row in rows} == {"cat", "dog"}  # of two classes, not 3
