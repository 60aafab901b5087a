"""One small model and its SavedModel, shared by the tests."""

import keras
import pytest
import tensorflow as tf

from t2t_keras import T2TViT
from t2t_keras.export import export_saved_model
from t2t_keras.training.model import precision
from tests.support.tiny import tiny_variant

# Else OpenVINO computes in bfloat16 on processors that have it.
OPENVINO_FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}
NAMES = ["null", "ett", "två", "tre", "fyra", "fem", "sex", "sju", "åtta", "nio"]


def in_half_precision(name, build, weights, path):
    """A model as a run with --precision leaves it: from a `.keras` file."""
    with precision(name):
        model = build()
    model.set_weights(weights)
    model.save(path)
    model = keras.saving.load_model(path)
    assert model.get_layer("class_token").dtype_policy.name == f"mixed_{name}"
    return model


@pytest.fixture(scope="session")
def model():
    return T2TViT(tiny_variant(image_size=32, depth=1), weights=None, classes=10)


@pytest.fixture(scope="session")
def exported(model, tmp_path_factory):
    return export_saved_model(model, NAMES, tmp_path_factory.mktemp("models") / "digits")


@pytest.fixture(scope="session")
def served(exported):
    """The signatures, as plain TensorFlow sees them."""
    loaded = tf.saved_model.load(str(exported))
    yield loaded.signatures
    del loaded
