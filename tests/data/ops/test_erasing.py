import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from t2t_keras.data.ops.erasing import Boxes, erase, sample_boxes
from t2t_keras.data.settings import Augmentation

COUNT = 3000
HEIGHT, WIDTH = 40, 64
ALWAYS = Augmentation(erasing=1.0)
LARGE = Augmentation(erasing=1.0, erasing_area=(0.2, 0.9))  # often does not fit at once
SEED = tf.constant([3, 4], tf.int64)


def erased(images: np.ndarray, settings: Augmentation) -> np.ndarray:
    drawn = sample_boxes(settings, *images.shape[1:3], len(images), SEED)
    return erase(tf.constant(images), settings.erasing_mode, drawn).numpy()


def boxes(settings: Augmentation) -> dict[str, np.ndarray]:
    drawn = sample_boxes(settings, HEIGHT, WIDTH, COUNT, SEED).places[:, 0].numpy()
    return dict(zip(("top", "left", "height", "width"), drawn.T, strict=True))


def boxes_by_the_rule(settings: Augmentation) -> dict[str, np.ndarray]:
    """The draws in NumPy, one try after another."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(4000):
        box = (0, 0, 0, 0)
        for _ in range(10):
            area = rng.uniform(*settings.erasing_area) * HEIGHT * WIDTH
            area /= rng.integers(1, settings.erasing_count + 1)
            aspect = math.exp(rng.uniform(*map(math.log, settings.erasing_aspect)))
            height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if height < HEIGHT and width < WIDTH:
                top, left = rng.integers(0, HEIGHT - height + 1), rng.integers(0, WIDTH - width + 1)
                box = (top, left, height, width)
                break
        found.append(box)
    return dict(zip(("top", "left", "height", "width"), np.array(found).T, strict=True))


@pytest.mark.parametrize("settings", [ALWAYS, dataclasses.replace(ALWAYS, erasing_count=3), LARGE])
def test_boxes_are_those_of_the_rule(settings):
    mine, expected = boxes(settings), boxes_by_the_rule(settings)
    for drawn in (mine, expected):
        placed = drawn["height"] > 0
        drawn["top"], drawn["left"] = drawn["top"] * placed, drawn["left"] * placed
        drawn["area"] = drawn["height"] * drawn["width"]
        assert (drawn["top"] + drawn["height"] <= HEIGHT).all()
        assert (drawn["left"] + drawn["width"] <= WIDTH).all()
        drawn["aspect"] = np.log(np.maximum(drawn["height"], 1) / np.maximum(drawn["width"], 1))
        drawn["from the left"] = (drawn["left"] / (WIDTH - drawn["width"]))[placed]
        drawn["from the top"] = (drawn["top"] / (HEIGHT - drawn["height"]))[placed]
    if settings is ALWAYS:
        shares = mine["area"] / (HEIGHT * WIDTH)
        assert shares.min() > 0.015 and shares.max() < 0.36
    for name, values in mine.items():
        assert stats.ks_2samp(values, expected[name]).pvalue > 0.001, name


def test_what_never_fits_erases_nothing():
    images = np.ones((5, 2, 2, 3), np.float32)
    whole = Augmentation(erasing=1.0, erasing_area=(1.0, 1.0), erasing_aspect=(1.0, 1.0))
    np.testing.assert_array_equal(erased(images, whole), images)


def box_of(gone: np.ndarray) -> np.ndarray:
    """The mask of the smallest box around what is marked."""
    filled = np.zeros_like(gone)
    rows, columns = np.nonzero(gone)
    if len(rows):
        filled[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
    return filled


@pytest.mark.parametrize("mode", ["const", "rand", "pixel"])
def test_one_box_an_image_is_filled_as_the_mode_says(mode):
    images = np.full((300, 20, 24, 3), 9.0, np.float32)
    after = erased(images, Augmentation(erasing=0.25, erasing_mode=mode))
    gone = (after != images).any(axis=-1)
    assert gone.any(axis=(1, 2)).mean() == pytest.approx(0.25, abs=0.07)
    for mask in gone:
        np.testing.assert_array_equal(mask, box_of(mask))
    filling = [image[mask] for image, mask in zip(after, gone, strict=True) if mask.any()]
    if mode == "const":
        assert not np.concatenate(filling).any()
    elif mode == "rand":
        assert all((box == box[0]).all() for box in filling)
        filling = [box[:1] for box in filling]
    if mode != "const":
        values = np.concatenate(filling).ravel()
        assert stats.kstest(values, stats.norm.cdf).pvalue > 0.001


@pytest.mark.parametrize("width", [254, 255])
def test_the_noise_of_a_large_box_is_normal_and_independent(width):
    boxes = Boxes(tf.constant([[[0, 0, 256, width]]]), tf.constant([[[5, 7]]], tf.int64))
    values = erase(tf.fill((1, 256, width, 3), 9.0), "pixel", boxes).numpy().reshape(256, -1)
    assert stats.kstest(values.ravel(), stats.norm.cdf).pvalue > 0.001
    assert stats.kurtosis(values.ravel()) == pytest.approx(0, abs=0.05) and values.max() > 4
    half = values.shape[1] // 2
    for pairs in ((values[:, :half], values[:, -half:]), (values[1:], values[:-1])):
        for moved in (lambda x: x, np.abs):
            one, other = (moved(part).ravel() for part in pairs)
            assert abs(np.corrcoef(one, other)[0, 1]) < 0.012


def test_several_boxes_share_the_area():
    images = np.full((200, 32, 32, 3), 9.0, np.float32)
    third = {"erasing_area": (0.3, 0.3), "erasing_count": 3}
    settings = dataclasses.replace(ALWAYS, erasing_mode="rand", **third)
    after = erased(images, settings)
    colors = [len(np.unique(image[..., 0])) - 1 for image in after]
    assert {1, 2, 3} == set(colors)
    assert np.mean(np.array(colors) == 1) == pytest.approx(1 / 3, abs=0.12)
    share = (after != 9).any(axis=-1).mean(axis=(1, 2))
    assert share.max() < 0.34 and share[np.array(colors) == 1].min() > 0.26


def test_a_later_box_lies_over_an_earlier_one():
    places = tf.constant([[[0, 0, 4, 4], [1, 1, 2, 2], [0, 0, 0, 0]]])
    seeds = tf.constant([[[1, 1], [2, 2], [3, 3]]], tf.int64)
    after = erase(tf.fill((1, 5, 5, 3), 9.0), "rand", Boxes(places, seeds)).numpy()[0, ..., 0]
    assert (after[1:3, 1:3] == after[1, 1]).all() and after[1, 1] != after[0, 0]
    assert (after[:4, :4] == after[0, 0]).sum() == 12 and (after == 9).sum() == 9
