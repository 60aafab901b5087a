import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from t2t_keras.data.augmentation import (
    augment_batch,
    augment_image,
    crop_image,
    sample_augmentation,
)
from t2t_keras.data.ops.mixup import mix_levels, mix_targets, sample_mix, soft_targets
from t2t_keras.data.ops.seeds import batch_seed, split_seed
from t2t_keras.data.pipeline import batch_split, train_dataset
from t2t_keras.data.settings import AUGMENTATIONS, Augmentation, RandAugmentConfig
from t2t_keras.data.sources.source import open_source
from t2t_keras.images import IMAGENET_MEAN, IMAGENET_STD
from tests.support.images import ramp

PLAIN = AUGMENTATIONS["none"]


@pytest.fixture(scope="module")
def source(folder):
    return open_source(folder)


def test_half_are_mirrored():
    params = sample_augmentation(Augmentation(), batch_seed(0, 1, 0), 400)
    assert 0.42 < np.mean(params.mirrored) < 0.58
    for mirrored in (True, False):
        one = params._replace(mirrored=tf.constant(mirrored))
        image = augment_image(tf.constant(ramp(8, 8)), Augmentation(), one, IMAGENET_MEAN)
        np.testing.assert_array_equal(image, ramp(8, 8)[:, :: -1 if mirrored else 1])


MIXED = {"mixup": 0.8, "cutmix": 1.0, "mixup_prob": 0.8, "smoothing": 0.1}


@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(color_jitter=0.4, **MIXED),
        Augmentation(crop="light", rand_augment=RandAugmentConfig()),
        Augmentation(crop="padded", erasing=0.8, erasing_count=2, **MIXED),
        PLAIN,
    ],
)
def test_a_batch_is_what_the_ops_make_plainly_with_the_seeds_of_its_step(augmentation, source):
    size, normal = (16, 24), (IMAGENET_MEAN, IMAGENET_STD)
    batches = train_dataset(source, size, 5, 7, epochs=2, augmentation=augmentation)
    made = list(batches.as_numpy_iterator())
    tf.random.set_seed(99)
    for step in (0, 4):
        place = divmod(step, 3)
        part = batch_split(source, 5, 7, *place)
        each_seed, batch_s_seed = split_seed(batch_seed(7, *place), 2)
        params, images = sample_augmentation(augmentation, each_seed, 5), []
        for number, path in enumerate(part.files()):
            one = tf.nest.map_structure(lambda field, number=number: field[number], params)
            image = crop_image(tf.io.read_file(path), size, 0.9, augmentation, one)
            images.append(augment_image(image, augmentation, one, IMAGENET_MEAN))
        targets = soft_targets(part.labels, 3, augmentation.smoothing)
        given = (tf.stack(images), targets, augmentation, batch_s_seed)
        np.testing.assert_equal(made[step], [x.numpy() for x in augment_batch(*given, *normal)])


def test_batches_are_mixed_as_their_step_says(source):
    """Pixels are mixed before they are normalized, labels after they are smoothed."""
    plain = dataclasses.replace(PLAIN, smoothing=0.1)
    mixing = dataclasses.replace(plain, mixup=0.8, cutmix=1.0, mixup_prob=0.75)
    settings = {"epochs": 2, "mean": (0, 0, 0), "std": (1 / 255,) * 3}  # gives pixels
    pure, mixed = (
        train_dataset(source, 16, 5, 7, augmentation=augmentation, **settings)
        for augmentation in (plain, mixing)
    )
    alike = 0
    for step, ((images, targets), got) in enumerate(zip(pure, mixed, strict=True)):
        _, drawn = split_seed(batch_seed(7, step // 3, step % 3), 2)
        seed, _ = split_seed(drawn, 2)
        mix = sample_mix(mixing, 16, 16, seed)
        pixels = tf.cast(tf.round(images), tf.uint8)
        expected = mix_levels(pixels, tf.reverse(pixels, (0,)), mix)
        np.testing.assert_allclose(got[0], expected, atol=1e-3)
        np.testing.assert_allclose(got[1], mix_targets(targets, mix), atol=1e-6)
        alike += np.array_equal(expected, pixels)
    assert alike < 4


def test_erasing_is_on_normalized_values(source):
    erasing = dataclasses.replace(PLAIN, erasing=1.0, erasing_mode="const")
    pure, erased = (
        train_dataset(source, 16, 5, 7, epochs=1, augmentation=augmentation)
        for augmentation in (PLAIN, erasing)
    )
    for (before, _), (after, _) in zip(pure, erased, strict=True):
        gone = (before != after).numpy()
        assert gone.any(axis=(1, 2, 3)).all() and not gone.all(axis=(1, 2, 3)).any()
        assert not after.numpy()[gone].any()
