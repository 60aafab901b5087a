import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from t2t_keras.data.ops.mixup import mix_pixels, mix_targets, sample_mix
from t2t_keras.data.ops.seeds import batch_seed, split_seed
from t2t_keras.data.pipeline import eval_dataset, steps_per_epoch, train_dataset
from t2t_keras.data.settings import (
    AUGMENTATIONS,
    Augmentation,
    MixupConfig,
    RandomErasingConfig,
    parse_rand_augment,
)
from t2t_keras.data.sources.source import open_source
from t2t_keras.images import CIFAR_MEAN, CIFAR_STD, load_image, preprocess_input

EVERYTHING = Augmentation(
    rand_augment=parse_rand_augment("rand-m9-mstd0.5-inc1"),
    mixing=MixupConfig(probability=0.8),
    erasing=RandomErasingConfig(probability=0.5, max_count=2),
    smoothing=0.1,
)
EVERY = AUGMENTATIONS | {
    "jitter": Augmentation(color_jitter=0.4),
    "everything": EVERYTHING,
}


@pytest.fixture(scope="module")
def source(folder):
    return open_source(folder)


def _batches(dataset):
    return [(images.numpy(), labels.numpy()) for images, labels in dataset]


def _same(first, second):
    return len(first) == len(second) and all(
        np.array_equal(a, b)
        for mine, other in zip(first, second, strict=True)
        for a, b in zip(mine, other, strict=True)
    )


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
    left = train_dataset(opened, 16, batch_size, 7, start_step=start, **settings)
    assert left.cardinality() == len(whole) - start
    assert _same(_batches(left), whole[start:])


def test_of_a_run_that_is_through_nothing_is_left(source):
    left = train_dataset(source, 16, 5, 7, epochs=3, start_step=9)
    assert left.cardinality() == 0 and not _batches(left)


def test_batches_do_not_hang_on_the_number_of_epochs_or_the_global_seed(source):
    short = _batches(train_dataset(source, 16, 4, 7, epochs=1))
    tf.random.set_seed(4321)
    long = _batches(train_dataset(source, 16, 4, 7, epochs=2))
    assert _same(short, long[: len(short)])


def test_seeds_and_epochs_differ(source):
    first = _batches(train_dataset(source, 16, 5, 7, epochs=2))
    other = _batches(train_dataset(source, 16, 5, 8, epochs=2))
    assert not _same(first, other)
    assert not _same(first[:3], first[3:])


def test_an_epoch_takes_each_image_at_most_once(source):
    batches = _batches(
        train_dataset(source, 16, 4, 0, epochs=6, augmentation=AUGMENTATIONS["none"])
    )
    left_out = set()
    every = {image.tobytes() for image, _ in _singles(source)}
    for epoch in range(6):
        seen = [
            image.tobytes() for images, _ in batches[3 * epoch : 3 * epoch + 3] for image in images
        ]
        assert len(seen) == len(set(seen)) == 12
        left_out |= every - set(seen)
    assert len(every) == 15 and len(left_out) > 3


def _singles(source):
    for images, labels in train_dataset(
        source, 16, 15, 0, epochs=1, augmentation=AUGMENTATIONS["none"]
    ):
        yield from zip(images.numpy(), labels.numpy().argmax(1), strict=True)


def test_labels_stay_with_their_images(source):
    expected = {}
    for name in source.class_names:
        for path in sorted((open_path(source) / "train" / name).iterdir()):
            image = preprocess_input(load_image(path, 16))
            expected[np.round(image * 50).astype(int).tobytes()] = name
    found = [
        expected[np.round(image * 50).astype(int).tobytes()] == source.class_names[label]
        for image, label in _singles(source)
        if np.round(image * 50).astype(int).tobytes() in expected
    ]
    assert len(found) > 8 and all(found)


def open_path(source):
    from pathlib import Path

    return Path(source.name)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 8])
def test_evaluation_keeps_every_image_once(source, batch_size):
    dataset = eval_dataset(source, 16, batch_size)
    batches = _batches(dataset)
    assert dataset.cardinality() == len(batches) == math.ceil(5 / batch_size)
    assert np.concatenate([targets.argmax(1) for _, targets in batches]).tolist() == [0, 0, 1, 2, 2]


def test_evaluation_is_load_image_then_preprocess_input(source):
    images = np.concatenate([images for images, _ in _batches(eval_dataset(source, 32, 2))])
    paths = [path.decode() for path in source.eval_split.paths.numpy()]
    expected = preprocess_input(np.stack([load_image(path, 32) for path in paths]))
    off = np.abs(images - expected)
    assert off.max() < 1.01 / 255 / 0.224  # a level
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


def test_mean_and_deviation_may_be_others(source):
    theirs, _ = next(iter(eval_dataset(source, 16, 5, mean=CIFAR_MEAN, std=CIFAR_STD)))
    ours, _ = next(iter(eval_dataset(source, 16, 5)))
    back = theirs.numpy() * CIFAR_STD + CIFAR_MEAN
    np.testing.assert_allclose(
        back, ours.numpy() * (0.229, 0.224, 0.225) + (0.485, 0.456, 0.406), atol=1e-6
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 16}, "1 to the 15 training images of .*Received: batch_size=16"),
        ({"batch_size": 0}, "Received: batch_size=0"),
        ({"start_step": 8}, "`start_step` must be 0 to 6.*Received: start_step=8"),
        ({"start_step": -1}, "Received: start_step=-1"),
        ({"image_size": 0}, "Received: image_size=0"),
        ({"crop_pct": 1.5}, "Received: crop_pct=1.5"),
    ],
)
def test_arguments_are_checked_before_any_work(source, change, message):
    settings = {"image_size": 16, "batch_size": 4, "seed": 0, "epochs": 2} | change
    with pytest.raises(ValueError, match=message):
        train_dataset(source, **settings)


def test_batches_are_mixed_as_their_step_says(source):
    """Pixels are mixed before they are normalized, labels after they are smoothed."""
    plain = dataclasses.replace(AUGMENTATIONS["none"], smoothing=0.1)
    mixing = MixupConfig(probability=0.75)
    settings = {"epochs": 2, "mean": (0, 0, 0), "std": (1 / 255,) * 3}  # gives pixels
    pure = train_dataset(source, 16, 5, 7, augmentation=plain, **settings)
    mixed = train_dataset(
        source, 16, 5, 7, augmentation=dataclasses.replace(plain, mixing=mixing), **settings
    )
    alike = 0
    for step, ((images, targets), got) in enumerate(zip(pure, mixed, strict=True)):
        _, drawn = split_seed(batch_seed(7, step // 3, step % 3), 2)
        seed, _ = split_seed(drawn, 2)
        mix = sample_mix(mixing, 16, 16, seed)
        pixels = tf.cast(tf.round(images), tf.uint8)
        expected = mix_pixels(pixels, tf.reverse(pixels, (0,)), mix)
        np.testing.assert_allclose(got[0], expected, atol=1e-3)
        np.testing.assert_allclose(got[1], mix_targets(targets, mix), atol=1e-6)
        alike += np.array_equal(expected, pixels)
    assert alike < 4


def test_erasing_is_on_normalized_values(source):
    plain = AUGMENTATIONS["none"]
    erasing = RandomErasingConfig(probability=1.0, mode="const")
    pure = train_dataset(source, 16, 5, 7, epochs=1, augmentation=plain)
    erased = train_dataset(
        source, 16, 5, 7, epochs=1, augmentation=dataclasses.replace(plain, erasing=erasing)
    )
    for (before, _), (after, _) in zip(pure, erased, strict=True):
        gone = (before != after).numpy()
        assert gone.any(axis=(1, 2, 3)).all() and not gone.all(axis=(1, 2, 3)).any()
        assert not after.numpy()[gone].any()


def test_evaluations_arguments_are_checked_too(source):
    for change, message in (
        ({"batch_size": 0}, "batch_size=0"),
        ({"image_size": -1}, "image_size=-1"),
        ({"crop_pct": 0}, "crop_pct=0"),
    ):
        with pytest.raises(ValueError, match=f"Received: {message}"):
            eval_dataset(source, **({"image_size": 16, "batch_size": 4} | change))


def test_training_needs_training_images(folder):
    with pytest.raises(ValueError, match="0 training images"):
        train_dataset(open_source(folder, evaluation_only=True), 16, 1, 0, epochs=1)
