import logging
import os
import shutil

import pytest

from t2t_keras.data.sources.folder import find_labels, image_root, read_kaggle_labels, scan_folder
from t2t_keras.data.sources.source import open_source
from t2t_keras.errors import DataError
from tests.support.images import make_archive, make_folder

CLASSES = ("n01440764", "n01443537")


def _scan(root, validation_split=0.0, evaluation_only=False):
    return scan_folder(root, validation_split, evaluation_only)


def _counts(images):
    return {name: len(paths) for name, paths in images.items()}


def test_parts_and_classes_are_found(folder):
    found = _scan(folder)
    assert _counts(found.train) == {"apple": 4, "pear": 5, "plum": 6}
    assert _counts(found.evaluation) == {"apple": 2, "pear": 1, "plum": 2}


@pytest.mark.parametrize("name", ["val", "validation", "test", "Valid"])
def test_the_evaluation_folder_has_several_names(tmp_path, name):
    make_folder(tmp_path / "Train", {"a": 2, "b": 2})
    make_folder(tmp_path / name, {"a": 1, "b": 1})
    assert _counts(_scan(tmp_path).evaluation) == {"a": 1, "b": 1}


def test_a_split_takes_its_share_of_every_class_always_the_same(tmp_path):
    make_folder(tmp_path, {"a": 20, "b": 10, "c": 2})
    found = _scan(tmp_path, 0.2)
    assert _counts(found.evaluation) == {"a": 4, "b": 2, "c": 1}
    for name in "abc":
        both = found.train[name] + found.evaluation[name]
        assert sorted(both) == sorted(str(path) for path in (tmp_path / name).iterdir())
    assert _scan(tmp_path, 0.2) == found
    assert found.evaluation["a"] != sorted(str(path) for path in (tmp_path / "a").iterdir())[:4]


def test_a_split_is_the_same_where_the_folder_was_moved(tmp_path):
    make_folder(tmp_path / "here", {"a": 9, "b": 9})
    before = _scan(tmp_path / "here", 0.3)
    shutil.move(tmp_path / "here", tmp_path / "there")
    after = _scan(tmp_path / "there", 0.3)
    names = [[os.path.basename(p) for p in f.evaluation["a"]] for f in (before, after)]
    assert names[0] == names[1]


def test_train_alone_is_split_and_beside_evaluation_images_nothing_is(tmp_path):
    make_folder(tmp_path / "train", {"a": 4, "b": 4})
    assert _counts(_scan(tmp_path, 0.25).train) == {"a": 3, "b": 3}
    make_folder(tmp_path / "val", {"a": 1, "b": 1})
    with pytest.raises(ValueError, match=r"Received: validation_split=0.25"):
        _scan(tmp_path, 0.25)


def test_a_class_may_be_called_train(tmp_path):
    make_folder(tmp_path, {"car": 3, "train": 3, "test": 3})
    assert sorted(_scan(tmp_path, 0.5).train) == ["car", "test", "train"]


def test_evaluation_only_needs_no_training_images(tmp_path, folder):
    make_folder(tmp_path / "val", {"a": 1, "b": 1})
    assert _counts(_scan(tmp_path, evaluation_only=True).evaluation) == {"a": 1, "b": 1}
    assert _scan(tmp_path / "val", evaluation_only=True).train == {}
    assert _scan(folder, evaluation_only=True).train == {}


def test_odd_names_are_read_and_the_rest_is_counted(tmp_path, caplog):
    make_folder(tmp_path, {"été à la mer": 1, "猫": 1})
    source = next((tmp_path / "猫").iterdir())
    odd = ["UPPER.JPG", "with blank.jpeg", "ünï 猫.webp", "new\nline.png", ".hidden.jpg"]
    odd += ["notes.txt", "more.txt", "scan.TIF", "nosuffix"]
    for name in odd:
        shutil.copy(source, tmp_path / "猫" / name)
    shutil.copy(source, os.fsencode(tmp_path / "猫") + b"/not\xfftext.jpg")
    (tmp_path / "猫" / "inner").mkdir()
    (tmp_path / "猫" / "broken.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "猫" / "loop.jpg").symlink_to(tmp_path / "猫" / "loop.jpg")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    shutil.copy(source, tmp_path / "stray.jpg")
    with caplog.at_level(logging.WARNING):
        found = _scan(tmp_path, evaluation_only=True)
    assert _counts(found.evaluation) == {"été à la mer": 1, "猫": 7}
    assert (
        "2 .txt, 3 broken link or special file, 1 folder, 2 hidden, "
        "1 image in no class folder, 1 without suffix" in caplog.text
    )


@pytest.mark.parametrize(
    ("counts", "validation_split", "message"),
    [
        ({}, 0.0, "holds no class folders"),
        ({"only": 3}, 0.5, "one class only, 'only'"),
        ({"a": 3, "b": 3}, 0.0, "no evaluation images.*`validation_split`"),
        ({"a": 3, "b": 1}, 0.5, "/b: holds a single image"),
        ({"train/a": 3, "train/b": 0}, 0.5, "train/b: no images in this folder"),
        ({"val/a": 1, "val/b": 1}, 0.0, "there is val/ but no train/"),
        (
            dict.fromkeys(("train/a", "train/b", "train/c", "val/a", "val/d", "val/e"), 1), 0.0,
            "val: .*train: missing 'b', 'c'; surplus 'd', 'e'",
        ),
    ],
)  # fmt: skip
def test_what_is_no_dataset_is_refused_with_the_way_out(
    tmp_path, counts, validation_split, message
):
    make_folder(tmp_path, counts)
    with pytest.raises(DataError, match=message):
        _scan(tmp_path, validation_split)


def test_classes_are_in_the_order_of_the_authors_loader_or_of_a_model(tmp_path):
    """Numbers by value and letters without case, as timm sorts them."""
    names = ("7a", "10a", "10b", "a2", "A10", "b", "C")
    make_folder(tmp_path, dict.fromkeys(names, 1))
    assert open_source(tmp_path, evaluation_only=True).class_names == names
    own = open_source(tmp_path, evaluation_only=True, class_names=names[::-1])
    assert own.class_names == names[::-1]
    folders = [os.path.basename(os.path.dirname(path)) for path in own.eval_split.files()]
    assert tuple(folders) == names[::-1]
    others = open_source(tmp_path, evaluation_only=True, class_names=("a", *names[1:]))
    assert others.class_names == names


def test_a_name_is_one_class_however_its_letters_are_spelled(tmp_path):
    in_one, in_two = "caf\u00e9", "cafe\u0301"
    make_folder(tmp_path / "train", {in_one: 2, "tea": 2})
    make_folder(tmp_path / "val", {in_two: 1, "tea": 1})
    source = open_source(tmp_path)
    assert source.class_names == (in_one, "tea") and source.num_eval == 2
    make_folder(tmp_path / "train", {in_two: 1})
    with pytest.raises(DataError, match=r"spelled as 'cafe\\u0301' and 'caf\\xe9'"):
        open_source(tmp_path)


@pytest.fixture
def archive(tmp_path):
    """2 + 3 images to train on, 5 to evaluate on, 2 without labels."""
    return make_archive(tmp_path / "imagenet", dict(zip(CLASSES, (2, 3), strict=True)), 5, 2)


@pytest.mark.parametrize("below", ["", "ILSVRC", "ILSVRC/Data/CLS-LOC"])
def test_the_archive_is_read_from_each_of_its_folders(archive, below):
    found = _scan(archive / below)
    assert _counts(found.train) == dict(zip(CLASSES, (2, 3), strict=True))
    names = {name: [path[-13:-5] for path in paths] for name, paths in found.evaluation.items()}
    assert names == {
        CLASSES[0]: ["00000000", "00000002", "00000004"],
        CLASSES[1]: ["00000001", "00000003"],
    }


def test_it_is_a_source_to_train_and_to_evaluate_on(archive):
    source = open_source(archive)
    assert (source.class_names, source.num_train, source.num_eval) == (CLASSES, 5, 5)
    assert source.eval_split.labels.numpy().tolist() == [0, 0, 0, 1, 1]
    shutil.rmtree(archive / "ILSVRC" / "Data" / "CLS-LOC" / "train")
    assert open_source(archive, evaluation_only=True).num_eval == 5


def test_train_and_val_in_class_folders_need_no_table(tmp_path):
    for part, count in (("train", 2), ("val", 1)):
        make_folder(tmp_path / part, dict.fromkeys(CLASSES, count))
    assert image_root(tmp_path) == tmp_path
    assert open_source(tmp_path).num_eval == 2


def test_what_does_not_fit_the_table_is_named_and_without_one_it_is_asked_for(archive):
    table, val = archive / "LOC_val_solution.csv", archive / "ILSVRC" / "Data" / "CLS-LOC" / "val"
    rows = table.read_text()
    table.write_text(rows.replace(f",{CLASSES[1]}", ",n09999999"))
    with pytest.raises(DataError, match="missing 'n01443537'; surplus 'n09999999'"):
        _scan(archive)
    table.write_text(rows)
    shutil.copy(val / "ILSVRC2012_val_00000000.JPEG", val / "holiday.JPEG")
    message = r"val/holiday.JPEG: has no label in .*solution.csv.* 6 images"
    with pytest.raises(DataError, match=message):
        _scan(archive)
    table.unlink()
    with pytest.raises(DataError, match=r"CLS-LOC/val: .*no LOC_val_solution.csv.*Add that file"):
        _scan(archive)
    assert sum(map(len, _scan(archive, 0.5).evaluation.values())) == 3


@pytest.mark.parametrize("rows", [b"a,b\n1,2\n", b"%sx\n", b"%sx, \n", b"%s\xff,\xff"])
def test_another_table_is_refused(tmp_path, rows):
    path = tmp_path / "LOC_val_solution.csv"
    path.write_bytes(rows.replace(b"%s", b"ImageId,PredictionString\n"))
    assert find_labels(tmp_path / "val") == path
    with pytest.raises(DataError, match="LOC_val_solution.csv: is not the table"):
        read_kaggle_labels(path)
