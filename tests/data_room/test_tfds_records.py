import shutil

import pytest

from t2t_keras.data.digits import prepare_digits
from t2t_keras.data.tfds_records import choose_splits, class_names, record_split, tfds_builder
from t2t_keras.errors import DataError


@pytest.fixture(scope="module")
def builder(digits_dir, digits):
    return prepare_digits(digits_dir)


class _Info:
    """What is asked of a TFDS builder, with splits and features of one's own."""

    def __init__(self, builder, names, keys=("image", "label")):
        self.name, self.info = "flowers", self
        self.splits = dict.fromkeys(names)
        self.supervised_keys, self.features = keys, builder.info.features


def test_splits_are_chosen_by_name(builder):
    def chosen(*names, evaluation_only=False):
        return choose_splits(_Info(builder, names), 0.0, evaluation_only)

    assert chosen("train", "test") == ("train", "test")
    assert chosen("test", "train", "validation") == ("train", "validation")
    assert chosen("test", evaluation_only=True) == (None, "test")
    assert chosen("train", "test", evaluation_only=True) == (None, "test")


def test_a_share_of_train_may_be_kept(builder):
    assert choose_splits(builder, 0.1, False) == ("train[:1293]", "train[1293:]")
    assert record_split(builder, "train[:1293]").size == 1293
    kept = record_split(builder, "train[1293:]")
    assert kept.size == 144
    seen = {key.numpy() for key in record_split(builder, "train[:1293]").keys(None)}
    assert not seen & {key.numpy() for key in kept.keys(None)}


def test_missing_splits_are_named(builder):
    with pytest.raises(DataError, match="'flowers': has no 'train' split, only test, other"):
        choose_splits(_Info(builder, ["test", "other"]), 0.0, False)
    with pytest.raises(DataError, match="no split to evaluate on, only train.*`validation_split`"):
        choose_splits(_Info(builder, ["train"]), 0.0, False)
    with pytest.raises(DataError, match="'digits': has no split 'nope'.*Splits: train, test"):
        record_split(builder, "nope")
    with pytest.raises(DataError, match=r"the split 'train\[5:5\]' is empty"):
        record_split(builder, "train[5:5]")


def test_only_labelled_pictures_are_taken(builder):
    assert class_names(builder) == tuple("0123456789")
    for keys in (None, ("label", "label"), ("image", "image")):
        with pytest.raises(DataError, match="'flowers': not a data set of pictures"):
            class_names(_Info(builder, ["train"], keys))


def test_an_unknown_name_lists_near_ones_and_the_way_to_folders(tmp_path):
    with pytest.raises(DataError) as caught:
        tfds_builder("cifar11", tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert "cifar10" in message and "ROOT/train/CLASS" in message


def test_a_small_set_is_permuted_whole(builder):
    assert record_split(builder, "train").window == 1437


def test_a_missing_shard_is_named(builder, digits_dir, tmp_path):
    copied = shutil.copytree(digits_dir, tmp_path / "tfds")
    (shard,) = copied.glob("digits/1.0.0/digits-train*")
    shard.unlink()
    with pytest.raises(DataError, match=r"digits-train.*: is missing .*prepare the data set again"):
        record_split(prepare_digits(copied), "train")
    assert record_split(prepare_digits(copied), "test").size == 360
