"""A saved model comes back in a process that has only imported the package."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from t2t_keras import T2TViT
from tests.tiny import tiny_variant

LOAD = """
import sys
import keras, numpy as np
import t2t_keras
model = keras.saving.load_model(sys.argv[1])
np.save(sys.argv[3], model.predict(np.load(sys.argv[2]), verbose=0))
"""


@pytest.mark.parametrize(
    "variant",
    [
        tiny_variant(),
        tiny_variant("transformer", block_type="squeeze_excite"),
        tiny_variant("convolution", block_type="ghost"),
        tiny_variant(block_type="dense", depth=(1, 2), growth_rate=8),
    ],
    ids=["performer", "transformer_se", "convolution_ghost", "dense"],
)
def test_keras_file_in_a_fresh_process(variant, tmp_path):
    model = T2TViT(variant, classes=4, input_shape=(None, None, 3), drop_path_rate=0.1)
    images = np.random.default_rng(0).standard_normal((2, 64, 48, 3)).astype("float32")
    path, inputs, outputs = (tmp_path / name for name in ("model.keras", "in.npy", "out.npy"))
    model.save(path)
    np.save(inputs, images)
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    arguments = [sys.executable, "-c", LOAD, str(path), str(inputs), str(outputs)]
    subprocess.run(arguments, check=True, env=environment, capture_output=True)
    np.testing.assert_allclose(np.load(outputs), model.predict(images, verbose=0), atol=1e-6)


def test_reloaded_layers_have_the_same_arguments(tmp_path):
    model = T2TViT(tiny_variant(), classes=4, drop_path_rate=0.1)
    path = tmp_path / "model.keras"
    model.save(path)
    reloaded = keras.saving.load_model(path)
    for layer, other in zip(model.layers, reloaded.layers, strict=True):
        assert layer.get_config() == other.get_config()
