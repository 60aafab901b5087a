import keras
import numpy as np
import pytest

from t2t_keras import feature_strides, features
from tests.support.tiny import tiny_model
from tests.support.visualize_models import IMAGES, KINDS, small_model


@pytest.mark.parametrize("kind", KINDS)
def test_maps_have_the_image_s_aspect_and_their_stride(kind):
    model = small_model(**KINDS[kind])
    stage = "convolution" if kind == "convolution" else "t2t_block"
    blocks = [f"{stage}_0", f"{stage}_1", "project", 0, -1, "encoder_norm"]
    backbone, strides = features(model, blocks), feature_strides(model, blocks)
    assert strides == (4, 8, 16, 16, 16, 16)
    for shape, stride in zip(backbone.output_shape, strides, strict=True):
        assert shape[1:3] == (32 // stride, 64 // stride)


def test_maps_are_the_tokens_of_the_model_without_its_top():
    model = small_model()
    stage, _, last = features(model).predict(IMAGES, verbose=0)
    outputs = [model.get_layer(name).output for name in ("t2t_block_0", "encoder_norm")]
    expected, tokens = keras.Model(model.input, outputs).predict(IMAGES, verbose=0)
    np.testing.assert_allclose(last.reshape(2, 8, -1), tokens[:, 1:], atol=1e-6)
    np.testing.assert_allclose(stage, expected, atol=1e-6)


def test_the_backbone_shares_weights_holds_what_it_needs_and_is_saved(tmp_path):
    model = small_model(**KINDS["dense"])
    backbone = features(model, ["t2t_block_1", "transition_1"])
    known = {id(weight) for weight in model.weights}
    assert {id(weight) for weight in backbone.weights} < known
    assert "dense_growth_block_2" not in [layer.name for layer in backbone.layers]
    backbone.save(tmp_path / "backbone.keras")
    loaded = keras.saving.load_model(tmp_path / "backbone.keras")
    both = (each.predict(IMAGES, verbose=0) for each in (backbone, loaded))
    for old, new in zip(*both, strict=True):
        np.testing.assert_array_equal(old, new)


def test_any_image_size_and_a_lone_map():
    backbone = features(tiny_model(input_shape=(None, None, 3)), [1])
    assert backbone.predict(IMAGES, verbose=0).shape == (2, 2, 4, 32)


@pytest.mark.parametrize("blocks", [[], "encoder", 3, ["block_3"], [3], [-4]])
def test_unknown_blocks_are_refused(blocks):
    with pytest.raises(ValueError, match="`blocks?` must be"):
        features(tiny_model(), blocks)


def test_a_model_of_another_package_is_refused():
    with pytest.raises(ValueError, match="a model of this package"):
        features(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))
