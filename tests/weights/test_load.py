"""`weights=`: every kind of file, whole or not at all."""

import zipfile

import keras
import numpy as np
import pytest

from t2t_keras import CheckpointError, T2TViT, create_model, load_official_checkpoint
from t2t_keras.weights.convert import convert, write_model
from t2t_keras.weights.formats import read_safetensors
from tests.conftest import DATA
from tests.support.tiny import tiny_model, tiny_variant

SUFFIXES = [".weights.h5", ".keras", ".safetensors"]


@pytest.fixture(scope="module")
def loaded():
    model = tiny_model()
    load_official_checkpoint(model, DATA / "tiny_performer.pth.tar")
    return model


def _same(model, other):
    return all(
        np.array_equal(one, two)
        for one, two in zip(model.get_weights(), other.get_weights(), strict=True)
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_kind_comes_back_the_same(suffix, loaded, tmp_path):
    path = tmp_path / f"tiny{suffix}"
    write_model(loaded, path)
    assert _same(tiny_model(weights=path), loaded)


def test_official_file_goes_straight_in(loaded):
    assert _same(tiny_model(weights=DATA / "tiny_performer.pth.tar"), loaded)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_classes_and_sizes_from_every_kind(suffix, loaded, tmp_path):
    path = tmp_path / f"tiny{suffix}"
    write_model(loaded, path)
    model = tiny_model(weights=path, classes=3, input_shape=(96, 80, 3))
    expected = tiny_model(input_shape=(96, 80, 3), weights=DATA / "tiny_performer.pth.tar")
    ours, theirs = (m.get_layer("position_table").get_weights()[0] for m in (model, expected))
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(
        model.get_layer("project").get_weights()[0], loaded.get_layer("project").get_weights()[0]
    )


def test_features_without_classifier(loaded, tmp_path):
    path = tmp_path / "tiny.weights.h5"
    write_model(loaded, path)
    model = tiny_model(weights=path, include_top=False, pooling="avg")
    assert model.output_shape == (None, 32)


def _damage(path, how):
    contents = bytearray(path.read_bytes())
    if how == "cut":
        del contents[len(contents) // 2 :]
    elif how == "empty":
        contents.clear()
    elif how == "html":
        contents[:] = b"<!DOCTYPE html><html><body>Not found</body></html>"
    path.write_bytes(bytes(contents))


@pytest.mark.parametrize("how", ["cut", "empty", "html"])
@pytest.mark.parametrize("suffix", [*SUFFIXES, ".pth"])
def test_damaged_file_is_named(suffix, how, loaded, tmp_path):
    path = tmp_path / f"tiny{suffix}"
    if suffix == ".pth":
        path.write_bytes((DATA / "tiny_bare_state_dict.pth").read_bytes())
    else:
        write_model(loaded, path)
    _damage(path, how)
    with pytest.raises(CheckpointError, match=str(path)):
        tiny_model(weights=path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_file_of_other_sizes_is_refused(suffix, loaded, tmp_path):
    path = tmp_path / f"tiny{suffix}"
    write_model(loaded, path)
    with pytest.raises(CheckpointError, match=str(path)):
        T2TViT(tiny_variant(embed_dim=64), weights=path, classes=10)


def test_architecture_in_a_keras_file_is_never_run(loaded, tmp_path):
    """Only arrays are taken: the model's description may say anything."""
    good, path = tmp_path / "good.keras", tmp_path / "tiny.keras"
    write_model(loaded, good)
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "w") as target:
        target.writestr("config.json", '{"module": "os", "class_name": "system"}')
        target.writestr("model.weights.h5", source.read("model.weights.h5"))
    assert _same(tiny_model(weights=path), loaded)


def test_values_that_are_not_finite_are_refused(tmp_path):
    model = tiny_model()
    model.get_layer("head").bias.assign(np.full(10, np.nan))
    path = tmp_path / "nan.weights.h5"
    write_model(model, path)
    with pytest.raises(CheckpointError, match="'head.bias' holds values that are not finite"):
        tiny_model(weights=path)


def test_another_model_is_told_which_would_fit_from_safetensors_too(loaded, tmp_path):
    path = tmp_path / "tiny.safetensors"
    write_model(loaded, path)
    with pytest.raises(CheckpointError, match="those of no published T2T-ViT"):
        T2TViT(tiny_variant(embed_dim=64), weights=path, classes=10)


def test_unreadable_safetensors_is_named(tmp_path):
    for path in (tmp_path, tmp_path / "gone.safetensors"):
        with pytest.raises(CheckpointError, match=f"^{path}: cannot be read"):
            read_safetensors(path)


@pytest.mark.parametrize("weights", [True, 1, b"tiny.pth", ["tiny.pth"]])
def test_weights_of_another_type_are_that_value_error(weights):
    with pytest.raises(ValueError, match="The `weights` argument should be either.*Received: wei"):
        tiny_model(weights=weights)


def test_wrong_weights_arguments():
    with pytest.raises(ValueError, match="The `weights` argument should be either"):
        create_model("t2t_vit_7", weights="imagenet21k")
    with pytest.raises(ValueError, match="The `weights` argument should be either"):
        tiny_model(weights="missing.weights.h5")
    with pytest.raises(ValueError, match="needs a published variant"):
        tiny_model(weights="imagenet")
    with pytest.raises(ValueError, match="t2t_vit_14_se.*t2t_vit_7"):
        create_model("t2t_vit_14_se")


def test_conversion_writes_nothing_of_a_bad_source(tmp_path):
    source = tmp_path / "bad.pth"
    source.write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError):
        convert(source, tmp_path / "out.weights.h5")
    assert list(tmp_path.iterdir()) == [source]


def test_half_precision_model_takes_float32_weights(loaded, tmp_path):
    path = tmp_path / "tiny.weights.h5"
    write_model(loaded, path)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert _same(tiny_model(weights=path), loaded)
    finally:
        keras.config.set_dtype_policy("float32")
