"""The example client against a stand-in for TensorFlow Serving: the same JSON and messages."""

import base64
import http.server
import importlib.util
import json
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.pictures import encode, noise

PATH = Path(__file__).parents[2] / "examples" / "serving_client.py"
GOOD = [encode(noise(40, 50, seed=seed), kind) for seed, kind in enumerate(("JPEG", "PNG", "BMP"))]
FILES = [*GOOD[:2], b"no picture", *GOOD[2:]]


@pytest.fixture(scope="module")
def client():
    spec = importlib.util.spec_from_file_location("serving_client", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def rest_port(served, monkeypatch, client):
    """Answers as TensorFlow Serving's REST port does: base64 under `*_bytes`, a row an instance."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):  # noqa: N802 - the name that http.server calls
            assert self.path == "/v1/models/digits:predict"
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            files = [base64.b64decode(one["image_bytes"]["b64"]) for one in asked["instances"]]
            outputs = served[asked["signature_name"]](image_bytes=tf.constant(files))
            arrays = {name: value.numpy() for name, value in outputs.items()}
            plain = {name: arrays[name].tolist() for name in ("probabilities", "ok")}
            plain["classes"] = np.char.decode(arrays["classes"].astype("S"), "utf-8").tolist()
            rows = [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"predictions": rows}).encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    urlopen = client.urllib.request.urlopen

    def elsewhere(request, timeout):
        request.full_url = request.full_url.replace(":8501", f":{server.server_port}")
        return urlopen(request, timeout=timeout)

    monkeypatch.setattr(client.urllib.request, "urlopen", elsewhere)
    yield
    server.shutdown()
    thread.join()
    server.server_close()


def test_over_rest_each_picture_has_its_line(client, rest_port):
    rows = client.over_rest("127.0.0.1", "digits", FILES)
    assert [row["ok"] for row in rows] == [True, True, False, True]
    said = client.lines(["a.jpg", "b.png", "c.txt", "d.bmp"], rows)
    assert said[2] == "c.txt: not readable as a picture"
    assert all("%" in line for place, line in enumerate(said) if place != 2)


def test_over_grpc_the_messages_carry_the_same(client, served):
    reason = 'needs pip install -e ".[serving]"'
    messages = pytest.importorskip("tensorflow_serving.apis.predict_pb2", reason=reason)
    sent = client.predict_request("digits", FILES).SerializeToString()
    request = messages.PredictRequest.FromString(sent)
    files = tf.make_ndarray(request.inputs["image_bytes"])
    outputs = served[request.model_spec.signature_name](image_bytes=tf.constant(files))
    reply = messages.PredictResponse()
    for name, value in outputs.items():
        reply.outputs[name].CopyFrom(tf.make_tensor_proto(value))
    rows = client.rows_of(reply)
    assert [row["ok"] for row in rows] == [True, True, False, True]
    np.testing.assert_allclose(rows[0]["probabilities"], outputs["probabilities"][0])
