import math

import numpy as np
import pytest
from PIL import Image

from t2t_keras.images.resize import (
    cover_size,
    crop_offset,
    resize_and_crop,
    resized_size,
    target_size,
)
from tests.support.images import noise, resized_by_pillow


def _torchvision_size(height, width, side):
    """`Resize(side)`, as its documentation words it."""
    if height < width:
        return side, int(side * width / height)
    return int(side * height / width), side


def test_square_sizes_are_torchvisions():
    rng = np.random.default_rng(0)
    for height, width, side in rng.integers(1, 3000, (5000, 3)).tolist():
        assert resized_size(height, width, (side, side)) == _torchvision_size(height, width, side)


def test_cover_is_timms_floor():
    sides = [cover_size((size, size), 0.9)[0] for size in (32, 64, 224, 384, 448)]
    assert sides == [35, 71, 248, 426, 497]
    assert cover_size((384, 384), 1.0) == (384, 384)


def test_a_size_that_is_not_square_is_covered_in_the_images_aspect():
    rng = np.random.default_rng(1)
    for height, width, rows, columns in rng.integers(1, 900, (5000, 4)).tolist():
        resized = resized_size(height, width, (rows, columns))
        scale = max(rows / height, columns / width)
        assert resized[0] >= rows and resized[1] >= columns
        assert resized == (
            max(rows, math.floor(height * scale + 1e-9)),
            max(columns, math.floor(width * scale + 1e-9)),
        )


def test_crop_offset_rounds_as_python_does():
    for resized in range(200, 700):
        for target in (7, 100, 199):
            assert crop_offset(resized, target) == int(round((resized - target) / 2.0))


def test_arrays_give_the_same_sizes_as_numbers():
    heights, widths = np.random.default_rng(2).integers(1, 2000, (2, 300))
    rows, columns = resized_size(heights, widths, (248, 300), np.maximum)
    pairs = zip(heights.tolist(), widths.tolist(), strict=True)
    one_by_one = [resized_size(*pair, (248, 300)) for pair in pairs]
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == one_by_one
    assert crop_offset(rows, 224).tolist() == [crop_offset(row, 224) for row, _ in one_by_one]


@pytest.mark.parametrize(
    "shape", [(375, 500), (500, 375), (427, 640), (8, 8), (90, 300), (248, 248)]
)
@pytest.mark.parametrize("side", [64, 224])
def test_pixels_are_those_of_pillows_resize_and_a_center_crop(shape, side):
    size = _torchvision_size(*shape, math.floor(side / 0.9))
    expected = _center(resized_by_pillow(noise(*shape), size, bicubic=True), side)
    np.testing.assert_array_equal(resize_and_crop(noise(*shape), (side, side), 0.9), expected)


@pytest.mark.parametrize("shape", [(375, 500), (427, 640), (8, 8), (60, 300)])
def test_two_calls_are_pillows_one_where_it_resizes_columns_first(shape):
    height, width = _torchvision_size(*shape, 111)
    whole = Image.fromarray(noise(*shape)).resize((width, height), Image.Resampling.BICUBIC)
    expected = _center(np.asarray(whole), 100)
    np.testing.assert_array_equal(resize_and_crop(noise(*shape), (100, 100), 0.9), expected)


def _center(image, side):
    top, left = (int(round((length - side) / 2)) for length in image.shape[:2])
    return image[top : top + side, left : left + side]


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (4000, 1), (1, 60000), (60000, 1)])
def test_slivers_are_resized(shape):
    image = np.full((*shape, 3), 77, np.uint8)
    assert np.unique(resize_and_crop(image, (64, 64), 0.9)).tolist() == [77]


def test_the_box_of_a_sliver_is_at_most_a_level_off_the_whole():
    image = noise(4000, 1)
    whole = Image.fromarray(image).resize((35, 4000), Image.Resampling.BICUBIC)
    whole = np.asarray(whole.resize((35, 35 * 4000), Image.Resampling.BICUBIC)).astype(int)
    top = crop_offset(35 * 4000, 32)
    expected = whole[top : top + 32, 2:34]
    assert np.abs(resize_and_crop(image, (32, 32), 0.9) - expected).max() <= 1


def test_image_size_is_one_or_two_numbers():
    assert target_size(224) == (224, 224)
    assert target_size([224, np.int64(320)]) == (224, 320)
    for bad in (0, -3, 2.5, (224,), (224, 0), (1, 2, 3), (224.0, 224)):
        with pytest.raises(ValueError, match="Received: image_size"):
            target_size(bad)


@pytest.mark.parametrize("bad", [0, -0.5, 1.01])
def test_crop_pct_is_checked(bad):
    with pytest.raises(ValueError, match=f"Received: crop_pct={bad}"):
        cover_size((224, 224), bad)
