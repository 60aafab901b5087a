import functools
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from t2t_keras.data.inspection import image_errors
from t2t_keras.data.ops.seeds import Shard
from t2t_keras.data.pipeline import batch_names, eval_dataset, steps_per_epoch, train_dataset
from t2t_keras.data.settings import AUGMENTATIONS, Augmentation, parse_rand_augment
from t2t_keras.data.sources.source import Source, open_source
from t2t_keras.data.sources.splits import FileSplit, RecordSplit
from t2t_keras.errors import DataError
from t2t_keras.images import CIFAR_MEAN, CIFAR_STD, load_image, preprocess_input
from t2t_keras.training.inputs import pad_last_batch
from tests.support.any_images import write_shards
from tests.support.images import encode, noise, pillow_kinds, unreadable_kinds

UNREADABLE, PILLOWS = unreadable_kinds(), pillow_kinds()
EVERYTHING = Augmentation(
    rand_augment=parse_rand_augment("rand-m9-mstd0.5-inc1"),
    erasing=0.5,
    erasing_count=2,
    mixup=0.8,
    cutmix=1.0,
    mixup_prob=0.8,
    smoothing=0.1,
)
EVERY = AUGMENTATIONS | {"jitter": Augmentation(color_jitter=0.4), "everything": EVERYTHING}
STEP = {"batch_size": 12, "seed": 3, "epochs": 2, "augmentation": EVERYTHING, "start_step": 1}


@pytest.fixture(scope="module")
def source(folder):
    return open_source(folder)


_train = functools.partial(train_dataset, seed=0, epochs=2)


def _batches(dataset):
    return [(images.numpy(), labels.numpy()) for images, labels in dataset]


@pytest.mark.parametrize(
    ("name", "augment"), [*(("folder", augment) for augment in EVERY), ("digits", "light")]
)
def test_a_run_continues_as_if_never_interrupted(name, augment, source, digits_dir, digits):
    if name == "folder":
        opened, batch_size, start = source, 5, 4
    else:
        splits = {"train_split": "train[:100]", "eval_split": "test"}
        opened, batch_size, start = open_source("digits", digits_dir, **splits), 16, 8
    settings = {"epochs": 3, "augmentation": EVERY[augment]}
    whole = _batches(train_dataset(opened, 16, batch_size, 7, **settings))
    assert len(whole) == 3 * steps_per_epoch(opened, batch_size)
    for begin in (start, len(whole)):
        left = train_dataset(opened, 16, batch_size, 7, start_step=begin, **settings)
        assert left.cardinality() == len(whole) - begin
        np.testing.assert_equal(_batches(left), whole[begin:])


def test_batches_do_not_depend_on_the_number_of_epochs_or_the_global_seed(source):
    short = _batches(train_dataset(source, 16, 4, 7, epochs=1))
    tf.random.set_seed(4321)
    long = _batches(train_dataset(source, 16, 4, 7, epochs=2))
    np.testing.assert_equal(long[: len(short)], short)


def test_seeds_and_epochs_differ(source):
    runs = [_batches(train_dataset(source, 16, 5, seed, epochs=2)) for seed in (7, 8)]
    assert len({images.tobytes() for run in runs for images, _ in run}) == 12


def test_an_epoch_takes_each_image_at_most_once(source):
    seen = [image.tobytes() for image, _ in _singles(source, 4, epochs=6)]
    every = {image.tobytes() for image, _ in _singles(source, 15, epochs=1)}
    epochs = [set(seen[start : start + 12]) for start in range(0, len(seen), 12)]
    assert [len(epoch) for epoch in epochs] == [12] * 6
    assert len(every) == 15 and len(every - set.intersection(*epochs)) > 3


def _singles(source, batch_size, epochs):
    """The images and labels of all training batches, one by one and as they are stored."""
    settings = {"epochs": epochs, "augmentation": AUGMENTATIONS["none"]}
    for images, targets in _batches(train_dataset(source, 16, batch_size, 0, **settings)):
        yield from zip(images, targets.argmax(1), strict=True)


def test_labels_stay_with_their_images(source):
    paths = sorted(Path(source.name).glob("train/*/*"))
    files = np.stack([preprocess_input(load_image(path, 16)) for path in paths])
    for image, label in _singles(source, 15, epochs=1):
        nearest = np.abs(files - image).max(axis=(1, 2, 3)).argmin()
        assert paths[nearest].parent.name == source.class_names[label]


@pytest.mark.parametrize("batch_size", [1, 2, 5, 8])
def test_evaluation_keeps_every_image_once(source, batch_size):
    dataset = eval_dataset(source, 16, batch_size)
    batches = _batches(dataset)
    assert dataset.cardinality() == len(batches) == math.ceil(5 / batch_size)
    assert np.concatenate([targets.argmax(1) for _, targets in batches]).tolist() == [0, 0, 1, 2, 2]


@pytest.mark.parametrize("by", [{}, {"mean": CIFAR_MEAN, "std": CIFAR_STD}])
def test_evaluation_is_load_image_then_normalization(by, source):
    images = np.concatenate([images for images, _ in _batches(eval_dataset(source, 32, 2, **by))])
    levels = np.stack([load_image(path, 32) for path in source.eval_split.files()])
    expected = (levels / 255 - by["mean"]) / by["std"] if by else preprocess_input(levels)
    off = np.abs(images - expected)
    assert off.max() < 1.01 / 255 / 0.2  # a level
    assert (off < 1e-5).mean() > 0.995


def test_shapes_and_types_are_static(source):
    images, labels = train_dataset(source, (16, 24), 4, 0, epochs=1).element_spec
    assert images == tf.TensorSpec((4, 16, 24, 3), tf.float32)
    assert labels == tf.TensorSpec((4, 3), tf.float32)
    images, labels = eval_dataset(source, (16, 24), 4).element_spec
    assert images == tf.TensorSpec((None, 16, 24, 3), tf.float32)
    assert labels == tf.TensorSpec((None, 3), tf.float32)


def test_digits_come_as_rgb_of_any_size(digits):
    images, targets = next(iter(eval_dataset(digits, 40, 360, crop_pct=1.0)))
    assert images.shape == (360, 40, 40, 3)
    gray = images.numpy() * (0.229, 0.224, 0.225) + (0.485, 0.456, 0.406)
    np.testing.assert_allclose(gray[..., 0], gray[..., 2], atol=1e-6)
    assert gray.min() > -1e-6 and gray.max() < 1 + 1e-6 and gray.std() > 0.2
    assert targets.numpy().sum(axis=0).min() > 30


@pytest.mark.parametrize(
    ("make", "change", "message"),
    [
        (_train, {"batch_size": 16}, "1 to the 15 training images of .*Received: batch_size=16"),
        (_train, {"batch_size": 0}, "Received: batch_size=0"),
        (_train, {"start_step": 8}, "`start_step` must be 0 to 6.*Received: start_step=8"),
        (_train, {"start_step": -1}, "Received: start_step=-1"),
        (_train, {"image_size": 0}, "Received: image_size=0"),
        (_train, {"crop_pct": 1.5}, "Received: crop_pct=1.5"),
        (_train, {"batch_size": 6, "shard": Shard(0, 2)}, "of 4, twice the number.*batch_size=6"),
        (eval_dataset, {"batch_size": 0}, "Received: batch_size=0"),
        (eval_dataset, {"image_size": -1}, "Received: image_size=-1"),
        (eval_dataset, {"crop_pct": 0}, "Received: crop_pct=0"),
    ],
)
def test_arguments_are_checked_before_any_work(source, make, change, message):
    with pytest.raises(ValueError, match=message):
        make(source, **{"image_size": 16, "batch_size": 4} | change)
    with pytest.raises(ValueError, match="0 training images"):
        _train(open_source(source.name, evaluation_only=True), 16, 1)


def test_the_names_are_those_of_the_batch_s_images(tmp_path):
    """Every image is one gray of its own, and its file is called so."""
    for part, step in (("train", 20), ("val", 100)):
        for name in ("ash", "elm"):
            (tmp_path / part / name).mkdir(parents=True)
            for gray in range(40 if name == "ash" else 45, 250, step):
                image = encode(np.full((8, 8, 3), gray, np.uint8), "PNG")
                (tmp_path / part / name / f"{gray}.png").write_bytes(image)
    source = open_source(tmp_path)
    steps = steps_per_epoch(source, 6)
    still = AUGMENTATIONS["none"]
    zero_one = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    batches = train_dataset(source, 8, 6, seed=3, epochs=2, augmentation=still, **zero_one)
    for number, (images, _) in enumerate(batches.as_numpy_iterator()):
        epoch, step = divmod(number, steps)
        names = batch_names(source, 6, 3, epoch, step)
        grays = [int(name.split("/")[-1].removesuffix(".png")) for name in names]
        assert grays == np.rint(images[:, 4, 4, 0] * 255).astype(int).tolist()


def test_records_say_which_places_they_had(digits):
    (line,) = batch_names(digits, 32, 0, 1, 2)
    assert line.endswith("places 64 to 95 of the order of epoch 2, from 0")
    assert "digits" in line


def test_the_shards_of_a_training_batch_are_the_batch(source):
    (images, targets), *_ = train_dataset(source, 16, **STEP).as_numpy_iterator()
    for shard in (Shard(0, 3), Shard(2, 3)):
        part, *_ = train_dataset(source, 16, **STEP, shard=shard).as_numpy_iterator()
        rows = shard.rows(12)
        np.testing.assert_equal(part, (images[rows], targets[rows]))


@pytest.mark.parametrize("batch_size", [4, 8])
def test_the_shards_of_an_evaluation_hold_each_image_once(batch_size, source):
    whole = np.concatenate([images for images, _ in eval_dataset(source, 16, 8)])
    found, weights, steps = [], 0.0, -(-len(whole) // batch_size)
    for shard in (Shard(0, 2), Shard(1, 2)):
        batches = eval_dataset(source, 16, batch_size, shard=shard)
        padded = pad_last_batch(batches, batch_size, len(whole), shard)
        full = list(padded.as_numpy_iterator())
        assert [len(images) for images, *_ in full] == [batch_size // 2] * steps
        for images, _, counted in full:
            found.extend(images[counted > 0])
            weights += counted.sum()
    assert len(found) == len(whole) == 5
    for image in whole:
        assert any(np.array_equal(image, other) for other in found)
    assert weights == pytest.approx(steps * batch_size)


@pytest.fixture
def root(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "images é")


@pytest.fixture(scope="module")
def evaluated(folder, tmp_path_factory):
    """A source, and its evaluation batches by their size: they read the files anew each time."""
    source = open_source(shutil.copytree(folder, tmp_path_factory.mktemp("evaluated") / "images é"))
    return source, {size: eval_dataset(source, 16, size) for size in (2, 5)}


def _run(source, dataset):
    with image_errors(source):
        return sum(len(labels) for _, labels in dataset)


@pytest.mark.parametrize(
    ("kind", "place", "batch_size"),
    [
        *((kind, 4, 2) for kind in [None, *sorted(UNREADABLE)]),
        *(("cut_jpeg", place, batch_size) for place in range(5) for batch_size in (2, 5)),
    ],
)
def test_a_bad_file_is_named_with_the_reason(evaluated, kind, place, batch_size):
    source, batches = evaluated
    path = Path(source.eval_split.files()[place])
    whole = path.read_bytes()
    path.unlink() if kind is None else path.write_bytes(UNREADABLE[kind])
    try:
        with pytest.raises(DataError) as caught:
            _run(source, batches[batch_size])
    finally:
        path.write_bytes(whole)
    reason, advice = str(caught.value).removeprefix(f"{path}: ").split(". ")
    kinds = "empty|no JPEG, .*|damaged or cut .*|declares more than 64,.*|cannot be read: missing.*"
    kinds += "|iOS' own form of PNG .*|a TIFF of signed, .*"
    assert re.fullmatch(kinds, reason) and advice.startswith("Correct, replace or remove")


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (_train, ["train/pear/003.jpg"]),
        (eval_dataset, ["val/apple/001.jpg", "val/pear/000.jpg", "val/plum/001.jpg"]),
        (eval_dataset, ["val/pear/new\nline <x> 猫.jpg"]),
    ],
)
@pytest.mark.parametrize("kind", ["cut_jpeg", "empty"])
def test_bad_files_are_named_whole_the_first_one_first(root, make, names, kind):
    for name in names:
        (root / name).write_bytes(UNREADABLE[kind])
    source = open_source(root)
    with pytest.raises(DataError) as caught:
        _run(source, make(source, 16, 5))
    first, *others = (f"{root / name}: " for name in names)
    assert str(caught.value).startswith(first) and all(one in str(caught.value) for one in others)


def test_what_only_pillow_reads_is_trained_and_evaluated_on(tmp_path):
    for name in ("train/ash", "train/elm", "val/ash", "val/elm"):
        (tmp_path / name).mkdir(parents=True)
        for kind, contents in PILLOWS.items():
            (tmp_path / name / f"{kind}.jpg").write_bytes(contents)
    source = open_source(tmp_path)
    expected = [preprocess_input(load_image(path, 16)) for path in source.eval_split.files()]
    count = 2 * len(PILLOWS)
    (shown, _), *_ = eval_dataset(source, 16, count).as_numpy_iterator()
    assert len(shown) == count and np.abs(shown - expected).max() < 1.01 / 255 / 0.224  # a level
    assert _run(source, _train(source, 16, 5)) == 2 * (count // 5 * 5)
    plain = train_dataset(source, 16, count, 0, epochs=1, augmentation=AUGMENTATIONS["none"])
    (images, _), *_ = plain.as_numpy_iterator()
    for image in expected:
        assert np.abs(images - image).max(axis=(1, 2, 3)).min() < 1.01 / 255 / 0.224


def test_iterators_that_are_deleted_while_pillow_reads_come_to_an_end(root):
    for path in (root / "train").glob("*/*"):
        path.write_bytes(PILLOWS["webp_xmp_turned"])
    batches = train_dataset(open_source(root), 16, 5, 0, epochs=50)
    for _ in range(5):
        iterator = iter(batches)
        next(iterator)
        del iterator


@pytest.mark.parametrize("label", [-1, 3, 2**30])
def test_a_label_out_of_range_is_named_with_its_value(root, label):
    source = open_source(root)
    labels = tf.tensor_scatter_nd_update(source.eval_split.labels, [[3]], [label])
    split = FileSplit(source.eval_split.paths, labels)
    bad = Source("mine", source.class_names, split, split)
    for dataset in (eval_dataset(bad, 16, 2), train_dataset(bad, 16, 5, 0, epochs=1)):
        with pytest.raises(DataError, match=rf"plum/000.jpg: label {label} is outside 0..2"):
            _run(bad, dataset)


def test_a_damaged_record_file_is_no_silent_loss(tmp_path, digits_dir):
    copied = shutil.copytree(digits_dir, tmp_path / "tfds")
    (records,) = copied.glob("digits/1.0.0/digits-train*")
    data = bytearray(records.read_bytes())
    data[len(data) // 2] ^= 1
    records.write_bytes(data)
    source = open_source("digits", copied)
    batches = train_dataset(source, 16, 100, 0, epochs=2, augmentation=AUGMENTATIONS["none"])
    with pytest.raises(DataError, match=rf"record \d+ of {records}: cannot be read"):
        _run(source, batches)


@pytest.mark.parametrize("make", [_train, eval_dataset])
def test_a_record_file_with_fewer_records_is_no_silent_loss(tmp_path, make):
    ((path, *_),) = write_shards(tmp_path, [[encode(noise(8, 8), "PNG")] * 6])
    split = RecordSplit(8, ((path, 0, 8),), lambda record: (record, 0), 8)
    source = Source("mine", ("a", "b"), split, split)
    with pytest.raises(DataError, match=f"^record 6 of {path}: cannot be read: .* file is damaged"):
        _run(source, make(source, 16, 4))


def test_other_errors_pass_through(source, root):
    with pytest.raises(tf.errors.InvalidArgumentError), image_errors(source):
        tf.reshape(tf.zeros(3), (2, 2))
    (root / "val" / "plum" / "000.jpg").write_bytes(b"")
    with pytest.raises(tf.errors.InternalError), image_errors(open_source(root)):
        raise tf.errors.InternalError(None, None, "a kernel failed")  # no image is at fault


def test_only_the_suspects_are_looked_through(root):
    source = open_source(root)
    for name in ("train/apple/000.jpg", "val/plum/000.jpg"):
        (root / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"val/plum/000.jpg: empty\. [^:]*$"):
        with image_errors(source, [source.train_split.without([0]), source.eval_split]):
            list(_train(source, 16, 5))
