import shutil

import pytest

from t2t_keras.data.sources.source import Source, open_source
from t2t_keras.errors import DataError
from tests.support.running import run_python


def test_a_folder_is_a_source(folder):
    source = open_source(folder)
    assert source.name == str(folder)
    assert source.class_names == ("apple", "pear", "plum")
    assert (source.num_classes, source.num_train, source.num_eval) == (3, 15, 5)
    examples = list(source.train())
    assert [int(example["label"]) for example in examples] == [0] * 4 + [1] * 5 + [2] * 6
    assert examples[0]["image"] == (folder / "train" / "apple" / "000.jpg").read_bytes()
    assert source.train().cardinality() == 15
    assert [int(example["label"]) for example in source.evaluation()] == [0, 0, 1, 2, 2]


def test_digits_are_a_source_with_slices(digits_dir, digits):
    assert (digits.name, digits.num_train, digits.num_eval) == ("digits", 1437, 360)
    part = open_source("digits", digits_dir, train_split="train[:100]", eval_split="test[:50]")
    assert (part.num_train, part.num_eval) == (100, 50)
    kept = open_source("digits", digits_dir, validation_split=0.2)
    assert (kept.num_train, kept.num_eval) == (1150, 287)


def test_evaluation_only_trains_nothing(folder, digits_dir, digits):
    for name, given in ((folder, {}), ("digits", {}), ("digits", {"eval_split": "test"})):
        source = open_source(name, digits_dir, evaluation_only=True, **given)
        assert source.num_train == 0 and source.num_eval > 0
        with pytest.raises(DataError, match="evaluation only"):
            source.train()


@pytest.mark.parametrize("name", ["./images", "~/none", "/nowhere", "images/", "./000.jpg"])
def test_a_missing_folder_is_named(name, folder, monkeypatch):
    monkeypatch.chdir(folder / "train" / "apple")
    with pytest.raises(DataError, match=f"{name.strip('~./')}: no such folder"):
        open_source(name)


def test_a_folder_beats_a_tfds_name_but_not_the_digits(folder, tmp_path, monkeypatch, digits_dir):
    monkeypatch.chdir(tmp_path)
    for name in ("mnist", "digits"):
        shutil.copytree(folder, name)
    assert open_source("mnist").num_classes == 3
    assert open_source("digits", digits_dir).num_classes == 10
    assert open_source("./digits").num_classes == 3


BOTH = {"train_split": "train", "eval_split": "test"}
GIVEN = r"Received: train_split=train, eval_split=test"


@pytest.mark.parametrize(
    ("name", "splits", "message"),
    [
        ("digits", {"validation_split": -0.1}, "Received: validation_split=-0.1"),
        ("digits", {"validation_split": 1.0}, "Received: validation_split=1.0"),
        ("digits", {"train_split": "train"}, "Received: train_split=train, eval_split=None"),
        ("digits", {"eval_split": "test"}, "Received: train_split=None, eval_split=test"),
        ("digits", BOTH | {"validation_split": 0.1}, f"beside `validation_split`. {GIVEN}"),
        ("digits", BOTH | {"evaluation_only": True}, f"alone where nothing is trained. {GIVEN}"),
        ("./", BOTH, f"for a folder. {GIVEN}"),
    ],
)
def test_contradicting_splits_are_refused(name, splits, message, digits_dir):
    with pytest.raises(ValueError, match=message):
        open_source(name, digits_dir, **splits)


def test_a_data_dir_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="digits: cannot be written below data_dir=.*file"):
        open_source("digits", tmp_path / "file")


def test_one_class_is_refused(digits):
    with pytest.raises(DataError, match="mine: has 1 class"):
        Source("mine", ("only",), digits.train_split, digits.eval_split)


def test_the_environment_says_where_the_digits_go(tmp_path, digits_dir):
    code = "from t2t_keras.data import open_source; print(open_source('digits').num_eval)"
    assert run_python("-c", code, TFDS_DATA_DIR=str(tmp_path)).stdout.split() == ["360"]
    assert (tmp_path / "digits" / "1.0.0" / "dataset_info.json").exists()
