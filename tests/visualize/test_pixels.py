import numpy as np
import pytest

from t2t_keras.models.structure import Grid, parts_of
from t2t_keras.visualize import feature_maps, to_pixels
from t2t_keras.visualize.maps import cells_at
from tests.support.visualize_models import IMAGES, KINDS, small_model


@pytest.mark.parametrize("kind", ["performer", "convolution"])
def test_a_cell_answers_to_the_pixels_around_its_centre_and_no_others(kind):
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


def test_centres_of_the_published_stem():
    parts = parts_of(small_model())
    grids = [parts.grid_of(name) for name in ("t2t_block_0", "t2t_block_1", "encoder_block_1")]
    assert grids == [Grid(4, 1.0), Grid(8, 1.0), Grid(16, 1.0)]


def test_a_map_keeps_its_values_at_the_centres_and_is_linear_between():
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
