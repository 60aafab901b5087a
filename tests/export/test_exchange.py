"""ONNX, LiteRT and OpenVINO files in the runtimes that read them."""

import importlib.util
import json

import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

from t2t_keras import T2TBlock, T2TViT
from t2t_keras.errors import ExportError
from t2t_keras.export import Preprocessing, exchange, export_model
from t2t_keras.export.classifier import features_and_logits
from t2t_keras.export.exchange import (
    convert_to_litert,
    convert_to_openvino,
    plain_model,
    quantize_onnx,
    save_graph,
    write_onnx,
)
from t2t_keras.images import preprocess_input
from tests.export.conftest import NAMES, OPENVINO_FLOAT32, in_half_precision
from tests.support.tiny import tiny_variant

# Each kind of token and of block; the performer with squeeze-excite reads digits below.
GHOST = {"token_type": "transformer", "block_type": "ghost", "depth": 1}
DENSE = {"token_type": "convolution", "block_type": "dense", "depth": (1, 1), "growth_rate": 16}
MODELS = [(GHOST, "sigmoid", None), ({**DENSE, "mlp_ratio": 2.0}, "softmax", "float16")]
RUNTIMES = {"onnx": "onnxruntime", "litert": "ai_edge_litert", "openvino": "openvino"}
NEEDED = {"onnx": ("onnx", "tf2onnx"), "litert": (), "openvino": ("nncf",)}
TEST_IMAGES = 360  # as in the digits dataset
# The largest difference of probabilities in float32, and fraction of test digits read otherwise,
# both compared with Keras.
MAX_DIFFERENCE = 1e-4
MAX_DISAGREEMENT = {"float16": 0.01, "int8": 0.03}
MAX_SIZE = {"float16": 0.6, "int8": 0.4}  # fraction of the size in float32


def run_file(folder, format, images):
    """The outputs of an exported model in its own runtime, by name."""
    if format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(folder / "model.onnx")
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, {"image": images}), strict=True))
    if format == "litert":
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(folder / "model.tflite"))
        return interpreter.get_signature_runner()(image=images)
    import openvino

    compiled = openvino.compile_model(folder / "model.xml", config=OPENVINO_FLOAT32)
    outputs = compiled({"image": images})
    return {name: outputs[name] for name in ("logits", "probabilities")}


def skip_without(format):
    for module in (RUNTIMES[format], *NEEDED[format]):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f'{module} is not installed; it is in pip install -e ".[export]"')


def written(plain, graph, format, folder, how=None):
    """A folder with a plain model in a format, whose converter reads its graph."""
    if format == "onnx":
        write_onnx(plain, folder / "model.onnx")
    else:
        convert = convert_to_litert if format == "litert" else convert_to_openvino
        convert(graph, folder, how)
    return folder


@pytest.fixture(params=MODELS, ids=["ghost", "dense"], scope="module")
def other(request, tmp_path_factory):
    """A plain model, its graph, images and Keras' probabilities in float32."""
    fields, activation, precision = request.param

    def build():
        variant = tiny_variant(image_size=32, **fields)
        return T2TViT(variant, classes=10, classifier_activation=activation)

    model = build()
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype("float32")
    expected = model(preprocess_input(images)).numpy()
    folder = tmp_path_factory.mktemp("graph")
    if precision is not None:
        model = in_half_precision(precision, build, model.get_weights(), folder / "model.keras")
    plain = plain_model(model, Preprocessing().for_model(model))
    save_graph(plain, folder)
    return plain, folder, images, expected


@pytest.mark.parametrize("format", RUNTIMES)
def test_probabilities_are_those_of_keras(format, other, tmp_path):
    skip_without(format)
    plain, graph, images, expected = other
    outputs = run_file(written(plain, graph, format, tmp_path), format, images)
    np.testing.assert_allclose(outputs["probabilities"], expected, rtol=0, atol=MAX_DIFFERENCE)
    assert outputs["logits"].shape == (3, 10)


@pytest.fixture(scope="module")
def digits():
    """A model that reads digits, 360 of them that it has not seen, and Keras' probabilities.

    Random features under a head that is solved for: as good as trained, in a second.
    """
    data = load_digits()
    gray = np.kron(data.images, np.ones((4, 4))) * (255 / 16)
    images = np.repeat(gray[..., None], 3, axis=-1).astype("float32")
    variant = tiny_variant(image_size=32, depth=1, embed_dim=256, block_type="squeeze_excite")
    model = T2TViT(variant, weights=None, classes=10)
    for weight in model.weights:
        # The class token is then what it attends to alone, which differs from digit to digit.
        start = weight.name in ("class_token", "position_table")
        weight.assign(weight * (0 if start else 2 if weight.ndim == 2 else 1))
    pixels = preprocess_input(images)
    features, _ = features_and_logits(model).predict(pixels, batch_size=256, verbose=0)
    seen, unseen = slice(TEST_IMAGES, None), slice(TEST_IMAGES)
    known = np.c_[features, np.ones(len(features))]
    solved = np.linalg.solve(
        known[seen].T @ known[seen] + 10 * np.eye(known.shape[1]),
        known[seen].T @ (10 * np.eye(10)[data.target[seen]]),
    )
    model.get_layer("head").set_weights([solved[:-1], solved[-1]])
    probabilities = model.predict(preprocess_input(images[unseen]), verbose=0)
    assert (probabilities.argmax(1) == data.target[unseen]).mean() > 0.8
    return model, images[unseen], probabilities


@pytest.fixture(scope="module")
def digits_graph(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph")
    save_graph(plain_model(digits[0], Preprocessing().for_model(digits[0])), folder)
    return folder


@pytest.fixture(params=RUNTIMES, scope="module")
def in_float32(request, digits, tmp_path_factory):
    """The digits' model in each format."""
    skip_without(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, export_model(digits[0], NAMES, folder, request.param)


def test_digits_have_the_probabilities_of_keras(in_float32, digits):
    format, folder = in_float32
    _, images, expected = digits
    given = run_file(folder, format, images)["probabilities"]
    np.testing.assert_allclose(given, expected, rtol=0, atol=MAX_DIFFERENCE)
    assert (folder / "labels.txt").read_text("utf-8").split() == NAMES
    assert json.loads((folder / "preprocessing.json").read_text())["image_size"] == [32, 32]


@pytest.mark.parametrize("how", MAX_DISAGREEMENT)
def test_quantized_digits_are_read_as_keras_reads_them(
    how, in_float32, digits, digits_graph, tmp_path
):
    (format, folder), (_, images, expected) = in_float32, digits
    if format == "onnx":  # from the file in float32, which takes a moment
        quantize_onnx(folder / "model.onnx", tmp_path / "model.onnx", how)
    else:
        written(None, digits_graph, format, tmp_path, how)
    given = run_file(tmp_path, format, images)["probabilities"]
    assert (given.argmax(1) != expected.argmax(1)).mean() <= MAX_DISAGREEMENT[how]
    small, full = (sum(f.stat().st_size for f in each.iterdir()) for each in (tmp_path, folder))
    assert small < MAX_SIZE[how] * full


def test_a_missing_package_is_named_with_the_line_that_installs_it(model, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for format, package in (("onnx", "onnx, tf2onnx"), ("openvino", "openvino, nncf")):
        with pytest.raises(ExportError, match=rf"{package}.*\n?.*pip install .t2t-keras\[export\]"):
            export_model(model, NAMES, tmp_path, format, "int8" if format == "openvino" else None)
    assert not list(tmp_path.iterdir())


LITE = "tensorflow.lite"
CONVERTER = f"{LITE}.TFLiteConverter.from_saved_model"


@pytest.mark.parametrize(
    ("format", "place", "error"),
    [
        ("onnx", "keras.Model.export", "builtins.KeyError"),  # tf2onnx' rules raise anything
        ("litert", CONVERTER, f"{LITE}.python.convert.ConverterError"),
        ("openvino", "openvino.Core", "openvino.frontend.OpConversionFailure"),
        ("openvino", "openvino.Core", "builtins.RuntimeError"),
    ],
)
def test_a_converter_s_error_is_reported_and_leaves_nothing(
    format, place, error, model, tmp_path, monkeypatch
):
    skip_without(format)
    module, _, name = error.rpartition(".")

    def fail(*_, **__):
        raise getattr(importlib.import_module(module), name)("no such operation")

    monkeypatch.setattr(place, fail)
    monkeypatch.setattr(exchange, "save_graph", lambda *_: None)
    with pytest.raises(ExportError, match=f"1: cannot be converted to {format}.*no such operation"):
        export_model(model, NAMES, tmp_path, format)
    assert [path.name for path in tmp_path.iterdir()] == [".export.lock"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": "torch"}, "`format` must be one of onnx, litert, openvino"),
        ({"quantize": "int4"}, "`quantize` must be None or one of float16, int8"),
    ],
)
def test_a_wrong_format_is_refused(fields, message, model, tmp_path):
    arguments = {"model": model, "class_names": NAMES, "folder": tmp_path, "format": "litert"}
    with pytest.raises(ValueError, match=message):
        export_model(**{**arguments, **fields})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("token_type", ["performer", "transformer"])
@pytest.mark.parametrize(
    ("shape", "split", "tokens"), [((64, 64, 3), (7, 4, 2), 256), ((16, 16, 16), (3, 2, 1), 64)]
)
def test_the_unfolded_tensor_is_never_held(token_type, shape, split, tokens):
    """No tensor of a block's graph is as large as the windows of its soft split."""
    block = T2TBlock(16, *split, token_type=token_type)
    block.build((None, *shape))
    signature = tf.TensorSpec((None, *shape), tf.float32)
    graph = tf.function(block).get_concrete_function(signature).graph
    sizes = [
        output.shape[1:].num_elements()
        for operation in graph.get_operations()
        for output in operation.outputs
        if output.shape.rank and output.shape.rank > 2 and output.shape[0] is None
    ]
    attention = tokens**2 if token_type == "transformer" else 0
    unfolded = tokens * split[0] ** 2 * shape[-1]
    assert max(size for size in sizes if size and size != attention) < unfolded
