"""One small model and its SavedModel, for all that look at it."""

import pytest
import tensorflow as tf

from t2t_keras import T2TViT
from t2t_keras.export import export_saved_model
from tests.tiny import tiny_variant

NAMES = ["null", "ett", "två", "tre", "fyra", "fem", "sex", "sju", "åtta", "nio"]


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
