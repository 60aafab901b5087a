"""Mixed precision and compilation leave the tiny models' logits where they were."""

import keras
import numpy as np
import pytest

from t2t_keras import load_official_checkpoint
from tests.conftest import DATA
from tests.support.tiny import outputs_of, tiny_model


def _model(token_type, precision):
    model = tiny_model(token_type, dtype=precision)
    load_official_checkpoint(model, DATA / f"tiny_{token_type}.pth.tar")
    return model


@pytest.mark.parametrize("token_type", ["performer", "transformer"])
@pytest.mark.parametrize(
    ("precision", "tolerance"), [("mixed_float16", 0.01), ("mixed_bfloat16", 0.08)]
)
def test_mixed_precision_logits(token_type, precision, tolerance, tiny_expected):
    logits = outputs_of(_model(token_type, precision), tiny_expected["images"])
    expected = tiny_expected[f"{token_type}/logits"]
    assert np.abs(logits - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("token_type", ["performer", "transformer"])
@pytest.mark.parametrize("jit_compile", [True, False])
def test_compiled_and_not(token_type, jit_compile, tiny_expected):
    if keras.backend.backend() == "jax" and not jit_compile:
        pytest.skip("JAX compiles each op: half a minute")
    model = _model(token_type, "float32")
    model.compile(jit_compile=jit_compile)
    logits = model.predict(tiny_expected["images"], verbose=0)
    expected = tiny_expected[f"{token_type}/logits"]
    assert np.abs(logits - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("token_type", ["performer", "transformer"])
@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_a_step_on_bright_images_stays_finite(token_type, precision, tiny_expected):
    model = _model(token_type, precision)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, run_eagerly=keras.backend.backend() == "tensorflow")
    images = 10 * tiny_expected["images"]
    loss = model.train_on_batch(images, np.zeros(len(images), "int32"))
    assert np.isfinite(loss)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
