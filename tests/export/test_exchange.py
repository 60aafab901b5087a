"""ONNX, LiteRT and OpenVINO files in the runtimes that read them."""

import importlib.util
import json

import numpy as np
import pytest
from sklearn.datasets import load_digits

from t2t_keras import T2TViT
from t2t_keras.errors import ExportError
from t2t_keras.export import export_model
from t2t_keras.images import preprocess_input
from tests.export.conftest import NAMES
from tests.tiny import tiny_variant

# Each kind of token and of block; the performer with standard blocks reads digits below.
MODELS = {
    "transformer, squeeze_excite": {
        "token_type": "transformer",
        "block_type": "squeeze_excite",
        "depth": 1,
    },
    "convolution, ghost": {"token_type": "convolution", "block_type": "ghost", "depth": 1},
    "dense": {"block_type": "dense", "depth": (1, 1), "growth_rate": 16, "mlp_ratio": 2.0},
}
RUNTIMES = {"onnx": "onnxruntime", "litert": "ai_edge_litert", "openvino": "openvino"}
NEEDED = {"onnx": ("onnx", "tf2onnx"), "litert": (), "openvino": ("nncf",)}
TEST_PICTURES = 360  # as in the digits data set
# Float32's probabilities may differ from Keras' by this, and of the test digits this share may be
# read otherwise than by Keras.
MAX_DIFFERENCE = 1e-4
MAX_DISAGREEMENT = {None: 0.0, "float16": 0.01, "int8": 0.02}


def run_file(folder, format, pictures):
    """The outputs of an exported model in its own runtime, by name."""
    if format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(folder / "model.onnx")
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, {"image": pictures}), strict=True))
    if format == "litert":
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(folder / "model.tflite"))
        return interpreter.get_signature_runner()(image=pictures)
    import openvino

    outputs = openvino.compile_model(folder / "model.xml")({"image": pictures})
    return {name: outputs[name] for name in ("logits", "probabilities")}


def skip_without(format):
    for module in (RUNTIMES[format], *NEEDED[format]):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f'{module} is not installed; it is in pip install -e ".[export]"')


@pytest.fixture(params=MODELS, scope="module")
def other(request):
    return T2TViT(tiny_variant(image_size=32, **MODELS[request.param]), weights=None, classes=10)


@pytest.mark.parametrize("format", RUNTIMES)
def test_probabilities_are_those_of_keras(format, other, tmp_path):
    skip_without(format)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype("float32")
    outputs = run_file(export_model(other, NAMES, tmp_path, format), format, pictures)
    expected = other(preprocess_input(pictures)).numpy()
    np.testing.assert_allclose(outputs["probabilities"], expected, rtol=0, atol=MAX_DIFFERENCE)
    assert outputs["logits"].shape == (3, 10)


@pytest.fixture(scope="module")
def digits():
    """A model that reads digits, and 360 of them that it has not seen.

    Random features with a head that is solved for, not trained: good enough to have an opinion.
    """
    data = load_digits()
    grey = np.kron(data.images, np.ones((4, 4))) * (255 / 16)
    pictures = np.repeat(grey[..., None], 3, axis=-1).astype("float32")
    model = T2TViT(tiny_variant(image_size=32, depth=1), weights=None, classes=10)
    features = T2TViT(
        tiny_variant(image_size=32, depth=1), include_top=False, pooling="token", weights=None
    )
    features.set_weights(model.get_weights()[: len(features.weights)])
    tokens = features.predict(preprocess_input(pictures), batch_size=256, verbose=0)
    seen = slice(TEST_PICTURES, None)
    known = np.concatenate([tokens, np.ones((len(tokens), 1))], axis=1)
    solved, *_ = np.linalg.lstsq(known[seen], 10 * np.eye(10)[data.target[seen]], rcond=None)
    model.get_layer("head").set_weights([solved[:-1], solved[-1]])
    unseen, labels = pictures[:TEST_PICTURES], data.target[:TEST_PICTURES]
    probabilities = model.predict(preprocess_input(unseen), verbose=0)
    assert (probabilities.argmax(1) == labels).mean() > 0.7
    return model, unseen, probabilities


@pytest.mark.parametrize("quantize", MAX_DISAGREEMENT)
@pytest.mark.parametrize("format", RUNTIMES)
def test_digits_are_read_as_keras_reads_them(format, quantize, digits, tmp_path):
    skip_without(format)
    model, pictures, expected = digits
    folder = export_model(model, NAMES, tmp_path, format, quantize)
    given = run_file(folder, format, pictures)["probabilities"]
    if quantize is None:
        np.testing.assert_allclose(given, expected, rtol=0, atol=MAX_DIFFERENCE)
    disagreement = (given.argmax(1) != expected.argmax(1)).mean()
    assert disagreement <= MAX_DISAGREEMENT[quantize]
    assert (folder / "labels.txt").read_text("utf-8").split() == NAMES
    assert json.loads((folder / "preprocessing.json").read_text())["image_size"] == [32, 32]


def test_a_missing_package_is_said_with_the_line_that_installs_it(model, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for format, package in (("onnx", "onnx, tf2onnx"), ("openvino", "openvino, nncf")):
        with pytest.raises(ExportError, match=rf"{package}.*\n?.*pip install .t2t-keras\[export\]"):
            export_model(model, NAMES, tmp_path, format, "int8" if format == "openvino" else None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": "torch"}, "`format` must be one of onnx, litert, openvino"),
        ({"quantize": "int4"}, "`quantize` must be None or one of float16, int8"),
        ({"class_names": NAMES[:9]}, "10 classes. Received: 9 names"),
        ({"version": 0}, "`version` must be at least 1"),
    ],
)
def test_what_cannot_be_exported_is_said(fields, message, model, tmp_path):
    arguments = {"model": model, "class_names": NAMES, "folder": tmp_path, "format": "litert"}
    with pytest.raises(ValueError, match=message):
        export_model(**{**arguments, **fields})
    assert not list(tmp_path.iterdir())
