import keras
import numpy as np
import pytest

from t2t_keras import T2TViT, features
from t2t_keras.visualize import class_logits, feature_maps, token_similarity, varied_channels
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


def test_preprocessing_inside_the_model_is_kept():
    inputs = keras.Input((32, 64, 3))
    scaled = keras.layers.Rescaling(0.5)(inputs)
    model = T2TViT(tiny_variant(depth=1), input_tensor=scaled, classes=2)
    logits = keras.Model(model.input, model.get_layer("head").output)
    np.testing.assert_allclose(class_logits(model, IMAGES), numpy(logits(IMAGES)), rtol=1e-5)


def test_a_model_without_classifier_has_no_logits():
    model = T2TViT(tiny_variant(depth=1), include_top=False, input_shape=(32, 64, 3))
    with pytest.raises(ValueError, match="include_top=True"):
        class_logits(model, IMAGES)
