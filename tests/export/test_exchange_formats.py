"""ONNX and OpenVINO files as Keras itself writes them, in the runtimes that read them."""

import numpy as np
import pytest

from t2t_keras import T2TViT
from tests.tiny import tiny_variant

# Each kind of token and each kind of block once.
MODELS = {
    "performer": {"depth": 1},
    "transformer, squeeze_excite": {
        "token_type": "transformer",
        "block_type": "squeeze_excite",
        "depth": 1,
    },
    "convolution, ghost": {"token_type": "convolution", "block_type": "ghost", "depth": 1},
    "dense": {"block_type": "dense", "depth": (1, 1), "growth_rate": 16, "mlp_ratio": 2.0},
}


@pytest.fixture(params=MODELS)
def model(request):
    return T2TViT(tiny_variant(image_size=32, **MODELS[request.param]), weights=None, classes=10)


@pytest.fixture
def pictures():
    return np.random.default_rng(0).standard_normal((3, 32, 32, 3)).astype("float32")


def test_onnx_gives_the_same_probabilities(model, pictures, tmp_path):
    runtime = pytest.importorskip("onnxruntime", reason='needs pip install -e ".[export]"')
    expected = model(pictures).numpy()
    model.export(str(tmp_path / "model.onnx"), format="onnx", verbose=False)
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    (outputs,) = session.run(None, {session.get_inputs()[0].name: pictures})
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-5)


def test_openvino_gives_the_same_probabilities(model, pictures, tmp_path):
    openvino = pytest.importorskip("openvino", reason='needs pip install -e ".[export]"')
    expected = model(pictures).numpy()
    model.export(str(tmp_path / "model.xml"), format="openvino", verbose=False)
    outputs = openvino.compile_model(tmp_path / "model.xml")(pictures)[0]
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-5)
