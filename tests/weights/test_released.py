"""`weights="imagenet"`, from files placed in the cache; nothing is fetched."""

import errno
import logging
from pathlib import Path

import keras
import numpy as np
import pytest

from t2t_keras import DownloadError, create_model
from t2t_keras.files import digest_record
from t2t_keras.weights import download as cache
from t2t_keras.weights import load
from t2t_keras.weights.download import fetch_release, weights_dir
from t2t_keras.weights.releases import RELEASES_URL, imagenet_release
from tests.support.weights.released import NOWHERE
from tests.support.weights.torch_writer import checkpoint

SMALL, LARGE_IMAGES = "71.7_T2T_ViT_7.pth.tar", "83.3_T2T_ViT_14.pth.tar"
MARK = 0.25


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty cache, and no network."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(
        load, "fetch_release", lambda release: fetch_release(release, None, NOWHERE)
    )


def _place(golden, name, filename, **shapes) -> Path:
    """Writes a checkpoint of a published variant, all its numbers `MARK`, as a release."""
    path = weights_dir() / filename
    path.parent.mkdir(parents=True, exist_ok=True)
    named = {**dict(golden[name]["state_dict"]), **shapes}
    path.write_bytes(checkpoint({key: np.full(shape, MARK, "f4") for key, shape in named.items()}))
    return path


def _is_loaded(model) -> bool:
    return all((weight == MARK).all() for weight in model.get_weights())


def test_the_conversion_is_kept(golden):
    path = _place(golden, "t2t_vit_7", SMALL)
    assert _is_loaded(create_model("t2t_vit_7"))
    kept = [file.name for file in path.parent.glob("*.weights.h5")]
    assert len(kept) == 1 and kept[0].startswith("t2t_vit_7_imagenet_224-")


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("t2t_vit_10", {}),
        ("t2t_vit_7", {"head.weight": (10, 256), "head.bias": (10,)}),
        ("t2t_vit_7", {"pos_embed": (1, 101, 256)}),
    ],
    ids=["another variant", "other classes", "another image size"],
)
def test_another_file_of_that_name_is_a_download_error_with_a_way_out(name, shapes, golden):
    path = _place(golden, name, SMALL, **shapes)
    with pytest.raises(DownloadError) as caught:
        create_model("t2t_vit_7")
    message = str(caught.value)
    assert message.startswith(f"{path}: is not the t2t_vit_7 for 224 pixels and 1000 classes")
    assert f"{RELEASES_URL}{SMALL}" in message
    assert f"Delete it and {digest_record(path)}" in message
    assert not list(path.parent.glob("*.weights.h5"))


def test_the_way_out_is_one(golden):
    path = _place(golden, "t2t_vit_10", SMALL)
    assert fetch_release(imagenet_release("t2t_vit_7")) == path  # remembers it
    path.unlink()
    digest_record(path).unlink()
    _place(golden, "t2t_vit_7", SMALL)
    assert _is_loaded(create_model("t2t_vit_7"))


def test_a_read_only_cache_with_the_release_is_enough(golden, monkeypatch, caplog):
    def refuse(path):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(cache, "locked", refuse)
    path = _place(golden, "t2t_vit_7", SMALL)
    with caplog.at_level(logging.WARNING):
        assert _is_loaded(create_model("t2t_vit_7"))
    assert "The converted weights are not kept: Weights cannot be stored in" in caplog.text
    assert not list(path.parent.glob("*.weights.h5"))


def test_the_release_for_large_images_is_chosen_by_what_the_model_sees(golden):
    """Not by what it is called on, where `input_tensor` was computed from that."""
    _place(golden, "t2t_vit_14_384", LARGE_IMAGES)
    assert _is_loaded(create_model("t2t_vit_14", input_shape=(384, 384, 3)))
    images = keras.Input((None, None, 3))
    resized = keras.layers.Resizing(384, 384)(images)
    assert _is_loaded(create_model("t2t_vit_14", input_tensor=resized))
    with pytest.raises(DownloadError, match="81.5_T2T_ViT_14.pth.tar could not be fetched"):
        create_model("t2t_vit_14", input_shape=(None, None, 3))
