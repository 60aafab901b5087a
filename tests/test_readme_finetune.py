"""The README's way from a folder of images to a prediction, on a few small images."""

import csv
import logging
import re
import shlex
import tomllib

import pytest
from absl import flags

from t2t_keras import T2TViT, predict
from t2t_keras.cli.train import TrainCommand, run
from t2t_keras.training.recipes import SMALL_VARIANTS
from t2t_keras.weights.convert import write_model
from tests.support.images import make_folder
from tests.support.quick_graphs import pytest_runtest_setup, pytest_runtest_teardown
from tests.support.training.tiny_run import TINY
from tests.test_readme import README, ROOT

__all__ = ["pytest_runtest_setup", "pytest_runtest_teardown"]


@pytest.fixture
def commands() -> tuple[list[str], list[str]]:
    section = README.partition("### Fine-tune on your images")[2].partition("\n### ")[0]
    training, prediction = re.search(r"```bash\n(.*?)```", section, re.DOTALL)[1].splitlines()
    return shlex.split(training)[2:], shlex.split(prediction)[1:]


def settings(given: list[str]) -> dict:
    """What the flags say, as `train_keras.py` reads them."""
    table = tomllib.loads((ROOT / "t2t_keras/cli/flags.toml").read_text("utf-8"))
    kinds = {"integers": int, "floats": float, "lists": lambda text: text.split(",")}
    pairs = (flag.removeprefix("--").partition("=") for flag in given)
    kind = {name: kinds.get(kind, str) for kind, names in table.items() for name in names}
    return {name: kind[name](value) if equals else True for name, equals, value in pairs}


def test_a_folder_of_images_comes_to_a_prediction(commands, tmp_path, monkeypatch, capsys):
    """With a small model instead of the published one; all else is as the README says."""
    training, prediction = commands
    monkeypatch.chdir(tmp_path)
    log = logging.getLogger("t2t_keras")
    for name in ("handlers", "propagate", "level"):  # `run` takes the log for itself
        monkeypatch.setattr(log, name, getattr(log, name))
    monkeypatch.setitem(SMALL_VARIANTS, "tiny", TINY)
    make_folder(tmp_path / "images/train", {"cat": 8, "dog": 6})
    make_folder(tmp_path / "images/val", {"cat": 2, "dog": 2})
    make_folder(tmp_path / "new_images", {"holiday": 3})
    small = T2TViT(TINY, weights=None, classes=10)
    write_model(small, tmp_path / "start.weights.h5")
    asked = {
        **settings([flag for flag in training if not flag.startswith("--run_name")]),
        **{"model": "tiny", "weights": "start.weights.h5", "image_size": ["32x24"]},
        **{"epochs": 1, "batch_size": 4, "devices": ["cpu:0"]},
    }
    assert asked["transfer"] is True and asked["dataset"] == "images/"
    name = training[-1].removeprefix("--run_name=")
    where = {"mode": "train", "output_dir": "saved_models", "run_name": name}
    assert run(TrainCommand(settings=asked, **where)) == 0
    capsys.readouterr()
    values = flags.FlagValues()
    predict.define_flags(values)
    assert prediction[:2] == ["-m", "t2t_keras.predict"]
    assert predict.main(values(prediction[1:]), values) == 0
    assert capsys.readouterr().out == "wrote predictions.csv: 3 images\n"
    _, *rows = csv.reader((tmp_path / "predictions.csv").read_text().splitlines())
    assert len(rows) == 6 and {row[2] for row in rows} == {"cat", "dog"}  # of two classes, not 3
