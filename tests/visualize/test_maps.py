import keras
import numpy as np
import pytest

from t2t_keras import T2TViT, features
from t2t_keras.models.structure import Grid, parts_of
from t2t_keras.visualize import (
    class_logits,
    feature_maps,
    to_pixels,
    token_similarity,
    varied_channels,
)
from t2t_keras.visualize.maps import cells_at
from tests.support.check_layer import numpy, random
from tests.support.tiny import tiny_variant
from tests.support.visualize_models import IMAGES, KINDS, small_model


@pytest.mark.parametrize("kind", ["performer", "dense"])
def test_maps_are_those_of_the_features_model(kind):
    model = small_model(**KINDS[kind])
    blocks = ["t2t_block_1", "project", 0, -1, "encoder_norm"]
    for block, expected in zip(blocks, features(model, blocks)(IMAGES), strict=True):
        np.testing.assert_allclose(
            feature_maps(model, IMAGES, block), numpy(expected), rtol=1e-4, atol=1e-5
        )


def test_tokens_of_equal_patches_are_alike():
    images = np.zeros((1, 64, 128, 3), "float32")
    images[:, 20:44, 84:108] = random(24, 24, 3)
    similar = token_similarity(small_model(), images, [(33, 97), (33, 33)], "t2t_block_1")
    assert similar.shape == (1, 2, 8, 16)
    np.testing.assert_allclose(similar[0, [0, 1], 4, [12, 4]], 1, rtol=1e-5)
    assert similar[0, 1, 2:6, 2:8].min() > 0.99  # the ground
    assert similar[0, 1, 4, 12] < 0.9
    assert np.abs(similar).max() <= 1


def test_channels_are_taken_by_how_much_they_vary():
    maps = random(5, 7, 4) * np.array([1.0, 3.0, 0.5, 2.0]) + np.array([9.0, 0.0, 50.0, 1.0])
    assert varied_channels(maps, 3) == [1, 3, 0]


def test_logits_keep_preprocessing_inside_the_model_and_need_its_classifier():
    inputs = keras.Input((32, 64, 3))
    scaled = keras.layers.Rescaling(0.5)(inputs)
    model = T2TViT(tiny_variant(depth=1), input_tensor=scaled, classes=2)
    logits, expected = class_logits(model, IMAGES), numpy(model(IMAGES))
    model.layers[-1].activation = None
    np.testing.assert_allclose(logits, numpy(model(IMAGES)), rtol=1e-5)
    np.testing.assert_allclose(numpy(keras.ops.softmax(logits)), expected, rtol=1e-5)
    headless = T2TViT(tiny_variant(depth=1), include_top=False, input_shape=(32, 64, 3))
    with pytest.raises(ValueError, match="include_top=True"):
        class_logits(headless, IMAGES)


@pytest.mark.parametrize("kind", ["performer", "convolution"])
def test_a_cell_answers_to_the_pixels_around_its_center_and_no_others(kind):
    """The stem's attention mixes all windows, so only the first layer's reach can be seen."""
    model = small_model(**KINDS[kind])
    stage = "convolution_0" if kind == "convolution" else "t2t_block_0"
    grid = parts_of(model).grid_of(stage)
    center = [round(grid.first + grid.stride * n) for n in (3, 9)]
    marked = np.zeros_like(IMAGES[:1])
    marked[:, center[0], center[1]] = 9
    changed = np.abs(feature_maps(model, marked, stage) - feature_maps(model, 0 * marked, stage))
    strongest = np.unravel_index(changed[0].max(axis=-1).argmax(), changed.shape[1:3])
    assert tuple(int(n) for n in strongest) == (3, 9)


def test_centers_of_the_published_stem():
    parts = parts_of(small_model())
    grids = [parts.grid_of(name) for name in ("t2t_block_0", "t2t_block_1", "encoder_block_1")]
    assert grids == [Grid(4, 1.0), Grid(8, 1.0), Grid(16, 1.0)]


def test_a_map_keeps_its_values_at_the_centers_and_is_linear_between():
    model = small_model()
    maps = np.random.default_rng(0).standard_normal((3, 2, 4)).astype("float32")
    pixels = to_pixels(model, maps, -1, (32, 64))
    assert pixels.shape == (3, 32, 64)
    np.testing.assert_allclose(pixels[:, 1::16, 1::16], maps, rtol=1e-5)
    np.testing.assert_allclose(pixels[:, 9, 17], maps[:, :, 1].mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(pixels[:, 0, 0], maps[:, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(pixels[:, 31, 63], maps[:, 1, 3], rtol=1e-5)


def test_a_map_of_another_image_is_refused():
    for size in ((32, 32), (64, 128)):
        with pytest.raises(ValueError, match=f"of an image of {size[0]} x {size[1]} pixels"):
            to_pixels(small_model(), np.zeros((2, 4)), -1, size)


@pytest.mark.parametrize(
    ("point", "cell"), [((0, 0), (0, 0)), ((8, 9), (0, 0)), ((10, 34), (1, 2)), ((31, 63), (1, 3))]
)
def test_a_point_stands_for_the_nearest_cell(point, cell):
    assert cells_at([point], (32, 64), Grid(16, 1.0), (2, 4)) == [cell]
