"""The model functions' arguments, as `keras.applications` has them."""

import inspect
import re

import keras
import numpy as np
import pytest

import t2t_keras
from t2t_keras import T2TViT, create_model, list_models
from tests.support.tiny import outputs_of, tiny_model, tiny_variant

FUNCTIONS = [name for name in dir(t2t_keras) if re.fullmatch("T2TViT.+", name)]


def signature(function):
    return inspect.signature(getattr(t2t_keras, function)).parameters


def test_every_variant_has_a_function():
    """README's table, whose test compares both, says which."""
    assert sorted(signature(each)["name"].default for each in FUNCTIONS) == sorted(list_models())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signature_is_that_of_keras_applications(name):
    ours, function = signature(name), getattr(t2t_keras, name)
    theirs = inspect.signature(keras.applications.ResNet50).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    for argument in set(theirs) - {"name"}:
        assert ours[argument].default == theirs[argument].default
    rest = list(ours)[len(theirs) :]
    assert rest == ["drop_rate", "attn_drop_rate", "drop_path_rate", "weights_key", "dtype"]
    assert all(ours[argument].kind == inspect.Parameter.KEYWORD_ONLY for argument in rest)
    assert function.__name__ == name
    assert ours["name"].default in function.__doc__
    assert "variant_config" not in function.__doc__
    for argument in ours:
        assert re.search(rf"^ +{argument}: ", function.__doc__, re.MULTILINE), argument


def test_outputs():
    images = np.zeros((2, 64, 64, 3), "float32")
    probabilities = outputs_of(tiny_model(classifier_activation="softmax"), images)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert tiny_model(include_top=False).output_shape == (None, 17, 32)
    for pooling in ("token", "avg", "max"):
        assert tiny_model(include_top=False, pooling=pooling).output_shape == (None, 32)


def test_logits_are_float32_under_mixed_precision():
    model = tiny_model(dtype="mixed_float16")
    assert keras.config.dtype_policy().name == "float32"
    assert keras.backend.standardize_dtype(model.output.dtype) == "float32"
    for name in ("encoder_block_0", "encoder_norm"):
        assert model.get_layer(name).compute_dtype == "float16"


def test_any_size_fixed_and_on_the_fly():
    def model(*size):
        return T2TViT(tiny_variant(depth=1), input_shape=(*size, 3), classes=10)

    any_size = model(None, None)
    for shape in ((16, 16), (64, 48), (50, 33), (16, 200)):
        images = np.random.default_rng(0).standard_normal((1, *shape, 3)).astype("float32")
        assert outputs_of(model(*shape), images).shape == (1, 10)
        assert any_size.predict(images, verbose=0).shape == (1, 10)


def test_other_channels_without_weights():
    assert tiny_model(input_shape=(64, 64, 1)).input_shape == (None, 64, 64, 1)


def test_input_tensor():
    inputs = keras.Input((64, 64, 3))
    scaled = keras.layers.Rescaling(1 / 255)(inputs)
    model = tiny_model(input_tensor=scaled)
    plain = tiny_model()
    plain.set_weights(model.get_weights())
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    expected = outputs_of(plain, images / 255)
    np.testing.assert_allclose(outputs_of(model, images), expected, atol=1e-5)


def test_drop_rates_reach_the_layers():
    model = tiny_model(drop_rate=0.1, attn_drop_rate=0.2, drop_path_rate=0.3)
    block = model.get_layer("encoder_block_2")
    assert model.get_layer("position_drop").rate == 0.1
    assert (block.drop.rate, block.attn.attn_drop.rate, block.drop_path1.rate) == (0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pooling": "mean"}, "`pooling` must be one of .*pooling=mean"),
        ({"classes": 0}, "`classes` must be a whole number of at least 1.*classes=0"),
        ({"classes": 2.5}, "`classes` must be a whole number of at least 1.*classes=2.5"),
        ({"input_shape": (64, 64)}, "`input_shape` must be .height, width, channels."),
        ({"input_shape": (15, 64, 3)}, "at least 16 pixels.*15"),
        ({"input_shape": (64, 64, None)}, "with a number of channels"),
        ({"drop_rate": 1.0}, "`drop_rate` must be in"),
        ({"attn_drop_rate": -0.1}, "`attn_drop_rate` must be in"),
        ({"drop_path_rate": 2}, "`drop_path_rate` must be in"),
        ({"input_tensor": np.zeros((1, 64, 64, 3))}, "`input_tensor` must be a Keras tensor"),
        (
            {"input_tensor": keras.Input((64, 64, 3)), "input_shape": (32, 32, 3)},
            "`input_shape` must be the shape of `input_t",
        ),
    ],
)
def test_wrong_argument_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny_model(**arguments)


def test_rules_that_come_with_weights(tmp_path):
    path = tmp_path / "tiny.weights.h5"
    tiny_model().save_weights(path)
    with pytest.raises(ValueError, match="`classifier_activation` must be None or 'softmax'"):
        tiny_model(weights=path, classifier_activation="relu")


def test_channels_first_is_refused(monkeypatch):
    monkeypatch.setattr(keras.config, "image_data_format", lambda: "channels_first")
    with pytest.raises(ValueError, match="image_data_format=channels_first"):
        tiny_model()


def test_names():
    assert list_models("*_t_*") == ["t2t_vit_t_14", "t2t_vit_t_19", "t2t_vit_t_24"]
    assert create_model("T2T_ViT_7", weights=None).name == "t2t_vit_7"
    with pytest.raises(ValueError, match="t2t_vit_14.*name=t2t_vit_15"):
        create_model("t2t_vit_15")
    with pytest.raises(ValueError, match="`variant_config` must be a `t2t_keras.Variant`"):
        T2TViT("t2t_vit_14")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("token_type", "mlp"),
        ("block_type", "wide"),
        ("embed_dim", 0),
        ("depth", (1, 2)),
        ("soft_splits", ((7, 4, 2),)),
    ],
)
def test_wrong_variant_is_named(field, value):
    with pytest.raises(ValueError, match=f"`{field}`.*{field}="):
        tiny_variant(**{field: value})
