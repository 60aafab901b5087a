import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_sample_images

from t2t_keras.data.ops.crops import (
    CropParams,
    evaluation_crop,
    light_crop,
    padded_crop,
    resized_crop,
    sample_crops,
    window_of,
)
from t2t_keras.data.ops.seeds import batch_seed
from t2t_keras.data.settings import Augmentation
from t2t_keras.images.resize import resize_and_crop
from tests.support.images import noise, ramp, resized_by_pillow

PHOTOS = load_sample_images().images
COUNT = 400
EVALUATION_CROP = tf.function(evaluation_crop, reduce_retracing=True)
USUAL = Augmentation()


def random_resized_crop(image, target, seed, area=USUAL.area, ratio=USUAL.ratio):
    params = CropParams(*(field[0] for field in sample_crops(seed, 1, area, ratio)))
    window = window_of(tf.shape(image)[:2], params, ratio)
    return resized_crop(image[window.rows, window.columns], target, params.bicubic)


def _many(crop, image, target, count=COUNT, **options):
    image = tf.constant(image)
    draws = tf.data.Dataset.range(count).map(
        lambda index: crop(image, target, seed=batch_seed(0, 0, index), **options)
    )
    return np.stack(list(draws.as_numpy_iterator()))


def _assert_pillow_s(image, target, crop_pct=0.9):
    """Values are Pillow's but for a few that are a level off; returns the part that are equal."""
    mine = EVALUATION_CROP(image, target, crop_pct).numpy()
    assert mine.dtype == np.uint8 and mine.shape == (*target, 3)
    off = np.abs(mine.astype(int) - resize_and_crop(image, target, crop_pct))
    assert off.max() <= 1, image.shape
    return (off == 0).mean()


@pytest.mark.parametrize("target", [(224, 224), (64, 64), (96, 160)])
@pytest.mark.parametrize("crop_pct", [0.9, 1.0])
def test_photos_are_within_a_level_of_pillow(target, crop_pct):
    for photo in PHOTOS:
        assert _assert_pillow_s(photo, target, crop_pct) > 0.999


def test_noise_of_any_size_is_within_a_level_of_pillow():
    shapes = np.random.default_rng(0).integers(20, 500, (60, 2))
    images = [noise(*shape, seed) for seed, shape in enumerate(shapes)]
    assert np.mean([_assert_pillow_s(image, (96, 96)) for image in images]) > 0.999
    _assert_pillow_s(noise(8, 8), (224, 224))


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (4000, 1)])
def test_slivers_work_everywhere(shape):
    image = tf.fill((*shape, 3), tf.constant(77, tf.uint8))
    seed = batch_seed(0, 0, 0)
    for made in (
        evaluation_crop(image, (32, 32), 0.9),
        light_crop(image, (32, 32), 0.9, seed),
        random_resized_crop(image, (32, 32), seed),
    ):
        assert np.unique(made.numpy()).tolist() == [77] and made.shape == (32, 32, 3)


def _where(crops):
    """The window each crop was cut from, read off an image whose values are its coordinates."""
    y, x = crops[..., 0].astype(float), crops[..., 1].astype(float)
    steps_y = (y[:, -1, 0] - y[:, 0, 0]) / (crops.shape[1] - 1)
    steps_x = (x[:, 0, -1] - x[:, 0, 0]) / (crops.shape[2] - 1)
    return y[:, 0, 0], x[:, 0, 0], steps_y * crops.shape[1], steps_x * crops.shape[2]


def _coordinates(height, width):
    y, x = np.mgrid[:height, :width]
    return np.stack([y, x, 0 * x], -1).astype(np.uint8)


def _recipe(rng, height, width):
    """One window (top, left, height, width), as torchvision's `RandomResizedCrop` draws it."""
    for _ in range(10):
        area = height * width * rng.uniform(0.08, 1.0)
        ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        rows, columns = round(np.sqrt(area / ratio)), round(np.sqrt(area * ratio))
        if rows <= height and columns <= width:
            top = rng.integers(0, height - rows + 1)
            return top, rng.integers(0, width - columns + 1), rows, columns
    pytest.fail("these sizes always have room for one of ten windows")


def test_random_windows_follow_the_recipe():
    crops = _many(random_resized_crop, _coordinates(200, 250), (32, 32), count=2000)
    rng = np.random.default_rng(0)
    wanted = np.array([_recipe(rng, 200, 250) for _ in range(20000)]).T
    for mine, theirs, side in zip(_where(crops), wanted, (200, 250, 200, 250), strict=True):
        quantiles = np.linspace(0.05, 0.95, 10)
        np.testing.assert_allclose(
            np.quantile(mine, quantiles), np.quantile(theirs, quantiles), atol=0.05 * side
        )
    _, _, height, width = _where(crops)
    ratio = np.log(width / height)
    assert abs(ratio.mean() - np.log(wanted[3] / wanted[2]).mean()) < 0.02
    assert abs(ratio.std() - np.log(wanted[3] / wanted[2]).std()) < 0.02


def test_where_no_window_fits_the_center_is_taken():
    crops = _many(random_resized_crop, _coordinates(20, 200), (16, 16), count=50, area=(1.0, 1.0))
    _, left, height, width = _where(crops)
    np.testing.assert_allclose(width / height, 4 / 3, atol=0.15)
    np.testing.assert_allclose(left + width / 2, 100, atol=2)


@pytest.mark.parametrize(
    ("shape", "side"), [((60, 80), 160), ((600, 800), 160), ((60, 80), 96), ((300, 400), 96)]
)
def test_a_random_crop_has_pillow_s_pixels(shape, side):
    """TensorFlow's op is a level off in some 2% of a bilinear image's values, mostly ties."""
    image = noise(*shape)
    options = {"area": (1.0, 1.0), "ratio": (4 / 3, 4 / 3)}
    crops = _many(random_resized_crop, image, (side, side), 12, **options)
    pillow = [resized_by_pillow(image, (side, side), bicubic) for bicubic in (False, True)]
    off = np.stack([np.abs(crops - wanted.astype(int)) for wanted in pillow])
    most = off.max(axis=(2, 3, 4))
    assert most.min(axis=0).max() <= 1
    assert set(most.argmin(axis=0)) == {0, 1}
    different = (off > 0).mean(axis=(2, 3, 4)).min(axis=0)
    assert different.max() <= 0.03


def test_both_filters_are_used():
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, 20:] = 200
    crops = _many(random_resized_crop, image, (80, 80), area=(1.0, 1.0), ratio=(1.0, 1.0))
    overshoot = (crops > 200).any((1, 2, 3)).mean()
    assert 0.4 < overshoot < 0.6


def test_light_shifts_and_scales_but_neither_mirrors_nor_squeezes():
    crops = _many(light_crop, _coordinates(100, 100), (64, 64), crop_pct=1.0)
    top, left, height, width = _where(crops)
    np.testing.assert_allclose(height, width, atol=4)
    assert height.min() > 80 and height.max() < 103 and height.std() > 3
    assert top.std() > 2 and left.std() > 2
    assert abs(np.corrcoef(top, left)[0, 1]) < 0.7


def test_light_without_room_is_the_evaluations_crop():
    image = ramp(100, 100)
    crops = _many(light_crop, image, (64, 64), crop_pct=1.0)
    plain = evaluation_crop(tf.constant(image), (64, 64), 1.0).numpy().astype(int)
    assert np.abs(crops.astype(int) - plain).mean(axis=(1, 2, 3)).min() < 3


def test_a_padded_crop_is_any_window_of_the_resized_image_and_its_black_margin():
    """Pillow's bilinear resize to 32 x 42, and 4 pixels around it."""
    resized = resized_by_pillow(ramp(60, 80), (32, 42), bicubic=False)
    whole = np.pad(resized, ((4, 4), (4, 4), (0, 0))).astype(int)
    windows = np.lib.stride_tricks.sliding_window_view(whole, (32, 32), (0, 1)).transpose(
        0, 1, 3, 4, 2
    )
    drawn = []
    for crop in _many(padded_crop, ramp(60, 80), (32, 32)):
        found = np.argwhere(np.abs(windows - crop).max(axis=(2, 3, 4)) <= 1)
        drawn.append(found[0])
    tops, lefts = np.transpose(drawn)
    assert ({*tops}, {*lefts}) == ({*range(9)}, {*range(19)})
