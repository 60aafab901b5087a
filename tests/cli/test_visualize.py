import dataclasses

import numpy as np
import pytest
from PIL import Image

from t2t_keras.cli import visualize
from t2t_keras.cli.visualize import VisualizeCommand, run
from t2t_keras.images import CIFAR_MEAN, CIFAR_STD, load_image, preprocess_input
from t2t_keras.weights.convert import write_model
from tests.conftest import DATA
from tests.support.images import encode, ramp
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
def asked(folder, tmp_path):
    """Makes a command."""
    given = {
        "source": str(folder / "run"),
        "image": str(folder / "cat.png"),
        "output": str(tmp_path / "out.png"),
    }
    return lambda **changes: VisualizeCommand(**{**given, "what": "attention", **changes})


@pytest.fixture
def titles(monkeypatch):
    """The titles of what is drawn, with the shape of the maps."""
    seen = []
    for name in ("plot_overlays", "plot_channels"):
        draw = getattr(visualize, name)

        def remember(*args, draw=draw, **kwargs):
            maps = args[1] if draw.__name__ == "plot_overlays" else args[0]
            seen.append((args[3], maps.shape))
            draw(*args, **kwargs)

        monkeypatch.setattr(visualize, name, remember)
    return seen


@pytest.mark.parametrize(
    ("changes", "title", "shape"),
    [
        ({}, "attention of the class token", (2, 3, 32, 64)),
        ({"block": "-1", "image_size": ["48"]}, "attention of the class token", (1, 3, 48, 48)),
        (
            {"block": "t2t_block_0", "at": ["3", "9"]},
            "what t2t_block_0 attends to from 3,9",
            (1, 1, 32, 64),
        ),
        ({"what": "rollout"}, "attention rollout", (1, 1, 32, 64)),
        ({"what": "features", "channels": 5}, "5 of 8 channels of t2t_block_0", (5, 8, 16)),
        ({"what": "gradcam", "class_index": "3"}, "Grad-CAM for class 3 (3)", (1, 1, 32, 64)),
        ({"what": "tokens", "block": "project"}, "tokens like that at 16,32", (1, 1, 32, 64)),
    ],
)
def test_each_kind_is_drawn(changes, title, shape, asked, titles, capsys):
    command = asked(**changes)
    assert run(command) == 0, capsys.readouterr().err
    assert titles == [(f"small, cat.png: {title}", shape)]
    with Image.open(command.output) as drawn:
        assert drawn.format == "PNG"
    assert capsys.readouterr().out == f"wrote {command.output}\n"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "no_such_model"}, "MODEL must be a run's folder"),
        ({"source": str(DATA / "full_size.json")}, "--model must name the variant"),
        ({"source": str(DATA / "full_size.json"), "model": "t2t_vit_7"}, "`weights` argument"),
        ({"image": "no.png"}, "no.png: no such image"),
        ({"output": "no/such/folder/x.png"}, "--output must end in .png"),
        ({"output": "x.jpg"}, "--output must end in .png"),
        ({"block": "block_9"}, "`block` must be one of t2t_block_0"),
        ({"what": "gradcam", "class_index": "5"}, "0 to 4"),
        ({"what": "gradcam", "class_index": "cat"}, "a class' name"),
        ({"what": "tokens", "at": ["1"]}, "--at must be y,x"),
        ({"what": "tokens", "at": ["40", "1"]}, "inside the image"),
        ({"image_size": ["a"]}, "`image_size` must be"),
        ({"weights": "imagenet"}, "--weights goes with a variant's name"),
    ],
)
def test_an_error_is_one_clear_line_and_nothing_is_written(
    changes, message, asked, capsys, tmp_path
):
    assert run(asked(**changes)) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_model_is_named(asked, capsys, tmp_path):
    (tmp_path / "broken.keras").write_bytes(b"PK\x03\x04 nothing")
    assert run(asked(source=str(tmp_path / "broken.keras"))) == 1
    assert "broken.keras: cannot be loaded" in capsys.readouterr().err


def test_images_are_normalized_by_the_statistics_asked_for(asked, monkeypatch):
    seen = []
    rollout = visualize.attention_rollout
    monkeypatch.setattr(
        visualize, "attention_rollout", lambda *given: seen.append(given[1]) or rollout(*given)
    )
    for statistics in (None, "cifar"):
        command = asked(what="rollout", statistics=statistics, overwrite=True)
        assert run(command) == 0
    image = load_image(command.image, (32, 64))
    np.testing.assert_allclose(seen[0][0], preprocess_input(image), rtol=1e-4, atol=1e-5)
    cifar = (image / 255 - CIFAR_MEAN) / CIFAR_STD
    np.testing.assert_allclose(seen[1][0], cifar, rtol=1e-4, atol=1e-5)


def test_an_output_is_replaced_only_if_asked(asked, capsys, tmp_path):
    (tmp_path / "out.png").write_text("mine")
    command = asked(what="rollout")
    assert run(command) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "out.png").read_text() == "mine"
    assert run(dataclasses.replace(command, overwrite=True)) == 0


def test_the_module_is_the_command(asked, monkeypatch):
    from t2t_keras.visualize import __main__ as script

    seen = []
    monkeypatch.setattr(visualize, "run", lambda command, debug: seen.append(command) or 0)
    line = ["-", "run", "--what=gradcam", "cat.png", "--output=x.png", "--block=-2", "--at=3,4"]
    assert script.main(script.FLAGS(line)) == 0
    assert (seen[0].source, seen[0].image, seen[0].what) == ("run", "cat.png", "gradcam")
    assert (seen[0].block, seen[0].at, seen[0].output) == ("-2", ["3", "4"], "x.png")
    named = set(script.FLAGS.get_key_flags_for_module(script))
    fields = {field.name for field in dataclasses.fields(VisualizeCommand)}
    assert {flag.name for flag in named} - {"debug"} == fields - {"source", "image"}
    script.FLAGS.unparse_flags()
