import shutil

import pytest
from tensorflow_datasets.core import DatasetBuilder
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

from t2t_keras.data.sources.digits import prepare_digits
from t2t_keras.data.sources.source import is_folder, open_source
from t2t_keras.data.sources.tfds import choose_splits, names_of, record_split, tfds_builder
from t2t_keras.errors import DataError
from tests.support.any_images import prepare
from tests.support.images import encode, noise


@pytest.fixture(scope="module")
def builder(digits_dir, digits):
    return prepare_digits(digits_dir)


@pytest.fixture(scope="module")
def good():
    return [encode(noise(8, 8, seed), "PNG") for seed in range(6)]


class _Info:
    """The used part of a TFDS builder, with given splits and features."""

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
    train, kept = (record_split(builder, name) for name in ("train[:1293]", "train[1293:]"))
    assert (train.size, kept.size) == (1293, 144)
    assert train.window == 1293  # a small set is permuted whole
    seen = {key.numpy() for key in train.keys(None)}
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


def test_only_labeled_images_are_taken(builder):
    assert names_of(builder) == tuple("0123456789")
    for keys in (None, ("label", "label"), ("image", "image")):
        with pytest.raises(DataError, match="'flowers': not a dataset of images"):
            names_of(_Info(builder, ["train"], keys))


def test_an_unknown_name_lists_near_ones_and_the_way_to_folders(tmp_path):
    with pytest.raises(DataError) as caught:
        tfds_builder("cifar11", tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert "cifar10" in message and "ROOT/train/CLASS" in message


def test_a_folder_that_tfds_prepared_is_read_without_its_code(good, tmp_path):
    prepare({"train": good, "test": good[:4]}, tmp_path / "here")
    moved = shutil.copytree(tmp_path / "here" / "any_images" / "1.0.0", tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "here")
    for name in (moved, f"{moved}/"):
        assert not is_folder(name)
        source = open_source(name)
        assert (source.num_train, source.num_eval) == (6, 4)
        assert source.class_names == ("left", "right")
    examples = [(one["image"].numpy(), int(one["label"])) for one in source.train()]
    assert examples == [(image, place % 2) for place, image in enumerate(good)]
    kept = open_source(moved, train_split="train[:4]", eval_split="train[4:]")
    assert (kept.num_train, kept.num_eval) == (4, 2)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_prepared_folder_that_is_damaged_is_named(content, tmp_path):
    (tmp_path / "dataset_info.json").write_text(content)
    with pytest.raises(DataError, match=f"{tmp_path}: .*repare"):
        open_source(tmp_path)


def test_a_download_that_is_not_the_released_one_is_said_in_one_line(tmp_path, monkeypatch):
    def corrupt(builder, **kwargs):
        raise NonMatchingChecksumError(
            f"Artifact https://x/y.tgz, downloaded to {tmp_path}/y, has wrong checksum:\n"
            "* Expected: 1\n* Got: 2\nTo debug, see: the guide"
        )

    monkeypatch.setattr(DatasetBuilder, "download_and_prepare", corrupt)
    with pytest.raises(DataError) as raised:
        open_source("cifar10", tmp_path)
    message = str(raised.value)
    assert "\n" not in message and message.startswith("TFDS cannot prepare 'cifar10': Artifact")
    assert "* Expected: 1 * Got: 2" in message
    assert f"Start again, without what lies in {tmp_path}/downloads" in message


def test_a_missing_shard_is_named(builder, digits_dir, tmp_path):
    copied = shutil.copytree(digits_dir, tmp_path / "tfds")
    (shard,) = copied.glob("digits/1.0.0/digits-train*")
    shard.unlink()
    with pytest.raises(DataError, match=r"digits-train.*: is missing .*prepare the dataset again"):
        record_split(prepare_digits(copied), "train")
    assert record_split(prepare_digits(copied), "test").size == 360
