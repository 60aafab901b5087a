import math

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from t2t_keras.data import Erasing, batch_seed, erase_picture, example_seed
from t2t_keras.data.erasing import draw_box

COUNT = 3000
HEIGHT, WIDTH = 40, 64
LARGE = Erasing(area=(0.2, 0.9), aspect=(0.3, 1 / 0.3))  # often does not fit at once
SEED = tf.constant([3, 4], tf.int64)


def erased_one_by_one(images: np.ndarray, settings: Erasing) -> np.ndarray:
    pictures = tf.data.Dataset.from_tensor_slices(images).enumerate()
    erased = pictures.map(
        lambda place, image: erase_picture(image, settings, example_seed(0, 0, place))
    )
    return np.stack(list(erased.as_numpy_iterator()))


def boxes(settings: Erasing, count: int) -> dict[str, np.ndarray]:
    steps = tf.data.Dataset.range(COUNT)
    drawn = steps.map(lambda step: draw_box(settings, HEIGHT, WIDTH, count, batch_seed(1, 2, step)))
    parts = next(drawn.batch(COUNT).as_numpy_iterator())
    return dict(zip(("top", "left", "height", "width"), parts, strict=True))


def boxes_by_the_rule(settings: Erasing, count: int) -> dict[str, np.ndarray]:
    """The draws in NumPy, one try after another."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(4000):
        box = (0, 0, 0, 0)
        for _ in range(10):
            area = rng.uniform(*settings.area) * HEIGHT * WIDTH / count
            aspect = math.exp(rng.uniform(*map(math.log, settings.aspect)))
            height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if height < HEIGHT and width < WIDTH:
                top, left = rng.integers(0, HEIGHT - height + 1), rng.integers(0, WIDTH - width + 1)
                box = (top, left, height, width)
                break
        found.append(box)
    return dict(zip(("top", "left", "height", "width"), np.array(found).T, strict=True))


@pytest.mark.parametrize(("settings", "count"), [(Erasing(), 1), (Erasing(), 3), (LARGE, 1)])
def test_boxes_are_those_of_the_rule(settings, count):
    mine, expected = boxes(settings, count), boxes_by_the_rule(settings, count)
    for drawn in (mine, expected):
        drawn["area"] = drawn["height"] * drawn["width"]
        drawn["aspect"] = np.log(np.maximum(drawn["height"], 1) / np.maximum(drawn["width"], 1))
        placed = drawn["height"] > 0
        drawn["from the left"] = (drawn["left"] / (WIDTH - drawn["width"]))[placed]
        drawn["from the top"] = (drawn["top"] / (HEIGHT - drawn["height"]))[placed]
    for name, values in mine.items():
        assert stats.ks_2samp(values, expected[name]).pvalue > 0.001, name


def test_area_and_aspect_are_in_their_ranges():
    drawn = boxes(Erasing(), 1)
    area = drawn["height"] * drawn["width"] / (HEIGHT * WIDTH)
    assert area.min() > 0.015 and area.max() < 0.36
    assert area.mean() == pytest.approx((0.02 + 1 / 3) / 2, abs=0.01)
    assert (drawn["top"] + drawn["height"] <= HEIGHT).all()
    assert (drawn["left"] + drawn["width"] <= WIDTH).all()


def test_what_never_fits_erases_nothing():
    image = tf.ones((2, 2, 3))
    whole = Erasing(probability=1.0, area=(1.0, 1.0), aspect=(1.0, 1.0))
    np.testing.assert_array_equal(erase_picture(image, whole, SEED), image)


def box_of(gone: np.ndarray) -> np.ndarray:
    """The mask of the smallest box around what is marked."""
    filled = np.zeros_like(gone)
    rows, columns = np.nonzero(gone)
    if len(rows):
        filled[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
    return filled


@pytest.mark.parametrize("mode", ["const", "rand", "pixel"])
def test_one_box_a_picture_is_filled_as_the_mode_says(mode):
    images = np.full((300, 20, 24, 3), 9.0, np.float32)
    erased = erased_one_by_one(images, Erasing(probability=0.25, mode=mode))
    gone = (erased != images).any(axis=-1)
    assert gone.any(axis=(1, 2)).mean() == pytest.approx(0.25, abs=0.07)
    for mask in gone:
        np.testing.assert_array_equal(mask, box_of(mask))
    filling = [picture[mask] for picture, mask in zip(erased, gone, strict=True) if mask.any()]
    if mode == "const":
        assert not np.concatenate(filling).any()
    elif mode == "rand":
        assert all((box == box[0]).all() for box in filling)
        filling = [box[:1] for box in filling]
    if mode != "const":
        values = np.concatenate(filling).ravel()
        assert stats.kstest(values, stats.norm.cdf).pvalue > 0.001


def test_several_boxes_share_the_area():
    images = np.full((200, 32, 32, 3), 9.0, np.float32)
    settings = Erasing(probability=1.0, mode="rand", area=(0.3, 0.3), max_count=3)
    erased = erased_one_by_one(images, settings)
    colours = [len(np.unique(picture[..., 0])) - 1 for picture in erased]
    assert {1, 2, 3} == set(colours)
    assert np.mean(np.array(colours) == 1) == pytest.approx(1 / 3, abs=0.12)
    share = (erased != 9).any(axis=-1).mean(axis=(1, 2))
    assert share.max() < 0.34 and share[np.array(colours) == 1].min() > 0.26


def test_a_seed_erases_the_same_plainly_and_in_a_pipeline():
    images = np.random.default_rng(0).normal(size=(5, 16, 16, 3)).astype(np.float32)
    settings = Erasing(probability=0.8)
    mapped = erased_one_by_one(images, settings)
    tf.random.set_seed(99)
    for place, image in enumerate(images):
        plain = erase_picture(tf.constant(image), settings, example_seed(0, 0, place))
        np.testing.assert_array_equal(mapped[place], plain)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probability": -0.1}, "Received: probability=-0.1"),
        ({"mode": "black"}, "const, rand, pixel.*Received: mode=black"),
        ({"area": (0.0, 0.5)}, r"Received: area=\(0.0, 0.5\)"),
        ({"area": (0.5, 0.2)}, "Received: area="),
        ({"aspect": (0.0, 1.0)}, "Received: aspect="),
        ({"max_count": 0}, "Received: max_count=0"),
    ],
)
def test_settings_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        Erasing(**change)
