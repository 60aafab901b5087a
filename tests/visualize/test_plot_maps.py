import numpy as np
import pytest
from PIL import Image

from t2t_keras.visualize import overlay, plot_channels, plot_overlays, to_pixels, token_similarity
from t2t_keras.visualize.plot_maps import _COLORS
from tests.support.visualize_models import small_model
from tests.visualize.test_plot import figures

__all__ = ["figures"]
SIZE = (48, 112)


@pytest.fixture
def image():
    """Dark, with a bright rectangle right of the middle and below it."""
    pixels = np.full((*SIZE, 3), 40, np.uint8)
    pixels[26:42, 74:98] = (250, 240, 200)
    return pixels


def test_an_overlay_is_brightest_where_the_map_is_highest(image):
    heat = np.zeros(SIZE)
    heat[30:38, 80:92] = 7
    laid = overlay(image, heat)
    assert laid.shape == image.shape and laid.dtype == np.uint8
    gray = 0.299 * 250 + 0.587 * 240 + 0.114 * 200
    yellow = np.array([253, 231, 37])
    np.testing.assert_allclose(laid[34, 86], 0.35 * gray + 0.65 * yellow, atol=1)
    assert laid[5, 5, 2] > laid[5, 5, 0]  # dark blue
    heat[0, 0] = 1e9
    np.testing.assert_array_equal(overlay(image, heat)[1:], laid[1:])  # hides nothing else
    flat = overlay(image, np.full(SIZE, 3.0))
    assert len(np.unique(flat[:20].reshape(-1, 3), axis=0)) == 1


def test_an_overlay_of_another_size_is_refused(image):
    with pytest.raises(ValueError, match="`to_pixels`"):
        overlay(image, np.zeros((112, 48)))


def test_a_map_lies_on_the_object_it_is_of(image):
    model, pixels = small_model(), (image[None] / 64).astype("float32")
    alike = token_similarity(model, pixels, [(34, 86)], "project")
    heat = to_pixels(model, alike, "project", SIZE)[0, 0]
    y, x = np.unravel_index(heat.argmax(), SIZE)
    assert 26 <= y < 42 and 74 <= x < 98


def test_overlays_stand_in_named_rows_and_columns(tmp_path, figures, image):
    heats = np.random.default_rng(0).random((2, 3, *SIZE))
    plot_overlays(
        *(image, heats, tmp_path / "o.png", "a $title$"),
        row_names=["block_0", "block_1"],
        column_names=["mean", "head 0", "head 1"],
        points=[(34, 86)],
    )
    (figure,) = figures
    axes = np.array(figure.axes[:8]).reshape(2, 4)
    assert figure.get_suptitle() == "a $title$"
    titles = [axis.get_title() for axis in axes[0]]
    assert titles == ["image", "mean", "head 0", "head 1"]
    assert [axis.get_ylabel() for axis in axes[:, 1]] == ["block_0", "block_1"]
    np.testing.assert_array_equal(axes[0, 0].images[0].get_array(), image)
    np.testing.assert_array_equal(axes[1, 3].images[0].get_array(), overlay(image, heats[1, 2]))
    assert axes[0, 0].lines[0].get_xydata().tolist() == [[86, 34]]
    labels = [label.get_text() for label in figure.axes[-1].get_yticklabels()]
    assert labels == ["low", "high"] and _COLORS == "viridis"
    with Image.open(tmp_path / "o.png") as drawn:
        assert drawn.width > drawn.height > 150


@pytest.mark.parametrize("names", [{"row_names": "ab"}, {"column_names": "a"}])
def test_each_row_column_and_channel_has_a_name(names, tmp_path, image):
    given = {"row_names": "a", "column_names": "abc", **names}
    with pytest.raises(ValueError, match="`(row|column)_names` must be [13] names, as many"):
        plot_overlays(image, np.zeros((1, 3, *SIZE)), tmp_path / "o.png", "", **given)
    with pytest.raises(ValueError, match="a name for each of the 3 channels.*names=ab"):
        plot_channels(np.zeros((3, 2, 2)), "ab", tmp_path / "o.png", "")
    assert list(tmp_path.iterdir()) == []


def test_channels_are_named_and_a_lone_extreme_hides_nothing(tmp_path, figures):
    channels = np.random.default_rng(0).random((9, 20, 30))
    channels[0, 0, 0] = 1e6
    plot_channels(channels, [f"channel {n}" for n in range(9)], tmp_path / "c.png", "stage")
    axes = figures[0].axes
    assert len(axes) == 16
    assert [axis.get_title() for axis in axes] == [f"channel {n}" for n in range(9)] + [""] * 7
    assert axes[0].images[0].get_clim()[1] < 2
    assert axes[0].images[0].get_cmap().name == "gray"
