import shutil

import pytest

from t2t_keras.data.sources.folder import find_labels, image_root, read_labels, scan_folder
from t2t_keras.data.sources.source import open_source
from t2t_keras.errors import DataError
from tests.support.images import make_archive, make_folder

CLASSES = ("n01440764", "n01443537")


@pytest.fixture
def archive(tmp_path):
    """2 + 3 images to train on, 5 to evaluate on, 2 without labels."""
    return make_archive(tmp_path / "imagenet", dict(zip(CLASSES, (2, 3), strict=True)), 5, 2)


@pytest.mark.parametrize("below", ["", "ILSVRC", "ILSVRC/Data/CLS-LOC"])
def test_the_archive_is_read_from_each_of_its_folders(archive, below):
    found = scan_folder(archive / below, 0.0, False)
    assert {name: len(paths) for name, paths in found.train.items()} == dict(
        zip(CLASSES, (2, 3), strict=True)
    )
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


def test_without_the_table_it_is_asked_for(archive):
    (archive / "LOC_val_solution.csv").unlink()
    with pytest.raises(DataError, match=r"CLS-LOC/val: .*no LOC_val_solution.csv.*Add that file"):
        scan_folder(archive, 0.0, False)
    kept = scan_folder(archive, 0.5, False)
    assert sum(map(len, kept.evaluation.values())) == 3


def test_a_image_without_a_label_is_named(archive):
    val = archive / "ILSVRC" / "Data" / "CLS-LOC" / "val"
    shutil.copy(val / "ILSVRC2012_val_00000000.JPEG", val / "holiday.JPEG")
    with pytest.raises(
        DataError, match=r"val/holiday.JPEG: has no label in .*solution.csv.* 6 images"
    ):
        scan_folder(archive, 0.0, False)


def test_a_class_that_is_not_trained_on_is_named(archive):
    table = archive / "LOC_val_solution.csv"
    table.write_text(table.read_text().replace(f",{CLASSES[1]}", ",n09999999"))
    with pytest.raises(DataError, match="missing 'n01443537'; surplus 'n09999999'"):
        scan_folder(archive, 0.0, False)


@pytest.mark.parametrize(
    "text",
    ["a,b\n1,2\n", "ImageId,PredictionString\nx\n", "ImageId,PredictionString\nx, \n", "\xff"],
)
def test_another_table_is_refused(tmp_path, text):
    path = tmp_path / "LOC_val_solution.csv"
    path.write_bytes(text.encode("latin-1"))
    assert find_labels(tmp_path / "val") == path
    if text == "\xff":
        path.write_bytes(b"ImageId,PredictionString\n\xff,\xff")
    with pytest.raises(DataError, match="LOC_val_solution.csv: is not the table"):
        read_labels(path)
