import re
import shutil

import numpy as np
import pytest
import tensorflow as tf

from t2t_keras.data.pipeline import eval_dataset, image_errors, train_dataset
from t2t_keras.data.settings import AUGMENTATIONS
from t2t_keras.data.sources.source import Source, open_source
from t2t_keras.data.sources.splits import FileSplit
from t2t_keras.errors import DataError
from t2t_keras.images import load_image, preprocess_input
from tests.support.images import pillow_kinds, unreadable_kinds

UNREADABLE, PILLOWS = unreadable_kinds(), pillow_kinds()


@pytest.fixture
def root(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "images é")


@pytest.fixture(scope="module")
def evaluated(folder, tmp_path_factory):
    """A folder, and its evaluation batches by their size: they read the files anew each time."""
    root = shutil.copytree(folder, tmp_path_factory.mktemp("evaluated") / "images é")
    source = open_source(root)
    return root, {size: eval_dataset(source, 16, size) for size in (2, 5)}


def _run(dataset):
    with image_errors():
        return sum(len(labels) for _, labels in dataset)


def _message(path, content, dataset):
    """What is said of an image with other content; None is an image that vanished."""
    whole = path.read_bytes()
    path.unlink() if content is None else path.write_bytes(content)
    try:
        with pytest.raises(DataError) as caught:
            _run(dataset)
    finally:
        path.write_bytes(whole)
    return str(caught.value)


@pytest.mark.parametrize("kind", sorted(UNREADABLE))
def test_a_bad_file_is_named(evaluated, kind):
    root, batches = evaluated
    path = root / "val/plum/001.jpg"
    said = _message(path, UNREADABLE[kind], batches[2])
    assert re.fullmatch(rf"{re.escape(str(path))}: .*(Formats read|pixels).*", said, re.DOTALL)


def test_a_bad_file_is_named_in_training(root):
    (root / "train/pear/003.jpg").write_bytes(UNREADABLE["cut_jpeg"])
    with pytest.raises(DataError, match=r"train/pear/003.jpg: .*Formats read"):
        _run(train_dataset(open_source(root), 16, 5, 0, epochs=1))


@pytest.mark.parametrize("batch_size", [2, 5])
@pytest.mark.parametrize("place", range(5))
def test_a_bad_file_is_named_wherever_it_stands(evaluated, place, batch_size):
    root, batches = evaluated
    paths = sorted((root / "val").glob("*/*"))
    assert len(paths) == 5
    path = paths[place]
    assert _message(path, path.read_bytes()[:30], batches[batch_size]).startswith(f"{path}: ")


def test_a_file_that_vanished_is_named(evaluated):
    root, batches = evaluated
    path = root / "val" / "pear" / "000.jpg"
    said = _message(path, None, batches[2])
    assert said.startswith(f"{path}: cannot be read. It is damaged, or no JPEG, PNG, WebP, GIF or")


def test_of_several_bad_files_the_first_is_named(root):
    for name in ("apple/001.jpg", "pear/000.jpg", "plum/001.jpg"):
        (root / "val" / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"val/apple/001.jpg: "):
        _run(eval_dataset(open_source(root), 16, 3))


def test_names_with_newlines_are_named_whole(root):
    path = root / "val" / "pear" / "new\nline <x> 猫.jpg"
    path.write_bytes(b"")
    with pytest.raises(DataError) as caught:
        _run(eval_dataset(open_source(root), 16, 2))
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("kind", sorted(PILLOWS))
def test_what_only_pillow_reads_is_trained_and_evaluated_on(root, kind):
    paths = [root / "val" / "plum" / "001.jpg", root / "train" / "plum" / "003.jpg"]
    for path in paths:
        path.write_bytes(PILLOWS[kind])
    source = open_source(root)
    (shown, _), *_ = eval_dataset(source, 16, 5).as_numpy_iterator()
    expected = preprocess_input(load_image(paths[0], 16))
    assert np.abs(shown[-1] - expected).max() < 1.01 / 255 / 0.224  # a level
    assert _run(train_dataset(source, 16, 5, 0, epochs=1)) == 15
    plain = train_dataset(source, 16, 15, 0, epochs=1, augmentation=AUGMENTATIONS["none"])
    (images, _), *_ = plain.as_numpy_iterator()
    assert np.abs(images - expected).max(axis=(1, 2, 3)).min() < 1.01 / 255 / 0.224


@pytest.mark.parametrize("label", [-1, 3, 2**30])
def test_a_label_out_of_range_is_named_with_its_value(root, label):
    source = open_source(root)
    labels = tf.tensor_scatter_nd_update(source.eval_split.labels, [[3]], [label])
    split = FileSplit(source.eval_split.paths, labels)
    bad = Source("mine", source.class_names, split, split)
    for dataset in (eval_dataset(bad, 16, 2), train_dataset(bad, 16, 5, 0, epochs=1)):
        with pytest.raises(DataError, match=rf"plum/000.jpg: label {label} is outside 0..2"):
            _run(dataset)


def test_a_damaged_record_file_is_no_silent_loss(tmp_path, digits_dir, digits):
    copied = shutil.copytree(digits_dir, tmp_path / "tfds")
    (records,) = copied.glob("digits/1.0.0/digits-train*")
    data = bytearray(records.read_bytes())
    data[len(data) // 2] ^= 1
    records.write_bytes(data)
    source = open_source("digits", copied)
    with pytest.raises(DataError, match=r"a record of the split 'train' of 'digits' in .*tfds"):
        _run(train_dataset(source, 16, 100, 0, epochs=2, augmentation=AUGMENTATIONS["none"]))


def test_other_errors_pass_through():
    with pytest.raises(tf.errors.InvalidArgumentError), image_errors():
        tf.reshape(tf.zeros(3), (2, 2))


def test_an_error_comes_out_of_fit(root):
    import keras

    (root / "train" / "pear" / "003.jpg").write_bytes(b"")
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    model.compile("sgd", "mse")
    dataset = train_dataset(open_source(root), 16, 5, 0, epochs=1)
    with pytest.raises(DataError, match=r"pear/003.jpg: "), image_errors():
        model.fit(dataset, verbose=0)


def test_all_good_is_no_error(root):
    source = open_source(root)
    assert _run(eval_dataset(source, 16, 2)) == 5
    assert _run(train_dataset(source, 16, 5, 0, epochs=2)) == 30
