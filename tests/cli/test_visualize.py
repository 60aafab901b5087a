import functools
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from t2t_keras.cli import visualize
from t2t_keras.cli.main import main
from t2t_keras.images import CIFAR_MEAN, CIFAR_STD, load_image, preprocess_input
from t2t_keras.weights.convert import write_model
from tests.support.images import encode, ramp
from tests.support.running import line
from tests.support.visualize_models import small_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model for 32 x 64 pixels in a run's folder, and an image."""
    folder = tmp_path_factory.mktemp("visualize")
    (folder / "run").mkdir()
    write_model(small_model(), folder / "run" / "model.keras")
    (folder / "cat.png").write_bytes(encode(ramp(60, 90), "PNG"))
    return folder


@pytest.fixture
def draw(folder, tmp_path):
    """Runs the command, with changes."""
    words = ("visualize", folder / "run", folder / "cat.png", "--overwrite")
    return lambda **changes: main(line(*words, output=tmp_path / "out.png", **changes))


@pytest.fixture
def titles(monkeypatch):
    """The titles of what is drawn, with the shape of the maps."""
    seen = []

    def remember(draw, place, *args, **kwargs):
        seen.append((args[3], args[place].shape))
        draw(*args, **kwargs)

    for name, place in (("plot_overlays", 1), ("plot_channels", 0)):
        draw = functools.partial(remember, getattr(visualize, name), place)
        monkeypatch.setattr(visualize, name, draw)
    return seen


@pytest.mark.parametrize(
    ("changes", "title", "shape"),
    [
        ({}, "attention of the class token", (2, 3, 32, 64)),
        ({"block": "-1", "image_size": 48}, "attention of the class token", (1, 3, 48, 48)),
        ({"block": "t2t_block_0", "at": "3,9"}, "attention of t2t_block_0 at 3,9", (1, 1, 32, 64)),
        ({"what": "rollout"}, "attention rollout", (1, 1, 32, 64)),
        ({"what": "features", "channels": 5}, "5 of 8 channels of t2t_block_0", (5, 8, 16)),
        ({"what": "gradcam", "class_index": "3"}, "Grad-CAM for class 3 (3)", (1, 1, 32, 64)),
        ({"what": "tokens", "block": "project"}, "similarity to that at 16,32", (1, 1, 32, 64)),
    ],
)
def test_each_kind_is_drawn(changes, title, shape, draw, titles, tmp_path, capsys):
    assert draw(**changes) == 0, capsys.readouterr().err
    assert titles == [(f"small, cat.png: {title}", shape)]
    with Image.open(tmp_path / "out.png") as drawn:
        assert drawn.format == "PNG"
    assert capsys.readouterr().out == f"wrote {tmp_path / 'out.png'}\n"


def test_images_are_normalized_by_the_statistics_asked_for(draw, folder, monkeypatch):
    rollout = Mock(wraps=visualize.attention_rollout)
    monkeypatch.setattr(visualize, "attention_rollout", rollout)
    image = load_image(folder / "cat.png", (32, 64))
    cifar = (image / 255 - CIFAR_MEAN) / CIFAR_STD
    for statistics, expected in ((None, preprocess_input(image)), ("cifar", cifar)):
        assert draw(what="rollout", statistics=statistics) == 0
        np.testing.assert_allclose(rollout.call_args[0][1][0], expected, rtol=1e-4, atol=1e-5)
