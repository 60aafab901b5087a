"""The example client against a stand-in for TensorFlow Serving: the same JSON and messages."""

import base64
import http.server
import importlib.util
import json
import re
import sys
import threading
import urllib.error
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

from tests.export.conftest import NAMES
from tests.support.images import encode, noise

PATH = Path(__file__).parents[2] / "examples" / "serving_client.py"
GOOD = [encode(noise(40, 50, seed=seed), kind) for seed, kind in enumerate(("JPEG", "PNG", "BMP"))]
FILES = [*GOOD[:2], b"no image", *GOOD[2:]]
REASON = 'needs pip install -e ".[serving]"'
OTHER_ANSWERS = {  # a model -> the body, and the error
    "missing": (b'{"error": "no such model"}', "predict: HTTP Error 404.*no such model"),
    "page": (b"<html>a proxy</html>", "page:predict: an answer without predictions"),
    "empty": (b"{}", "an answer without predictions"),
    "list": (b"[]", "an answer without predictions"),
    "vectors": (b'{"predictions": [[0.1, 0.9]]}', "an answer of another model"),
    "short": (b'{"predictions": []}', "an answer of another model"),
    "deep": (b"[" * 100_000, "an answer without predictions"),
}


@pytest.fixture(scope="module")
def client():
    spec = importlib.util.spec_from_file_location("serving_client", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def rest_port(served, monkeypatch, client):
    """Answers as TensorFlow Serving's REST port does: base64 under `*_bytes`, a row an instance.

    Models beside "digits" are not there, or answer something else.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):  # noqa: N802 - the name that http.server calls
            name = self.path.removeprefix("/v1/models/").removesuffix(":predict")
            if name != "digits":
                self.send_response(404 if name == "missing" else 200)
                self.end_headers()
                self.wfile.write(OTHER_ANSWERS[name][0])
                return
            assert self.headers["Content-Type"] == "application/json"
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

    urlopen = client.urllib.request.urlopen

    def elsewhere(request, timeout):
        request.full_url = request.full_url.replace(":8501", f":{server.server_port}")
        return urlopen(request, timeout=timeout)

    monkeypatch.setattr(client.urllib.request, "urlopen", elsewhere)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield
        server.shutdown()


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    names = ("a.jpg", "b.png", "c.txt", "d.bmp")
    for name, file in zip(names, FILES, strict=True):
        (folder / name).write_bytes(file)
    return [str(folder / name) for name in names]


def test_over_rest_each_image_has_its_line(client, rest_port, images, capsys):
    assert client.main([*images, "--model=digits", "--host=127.0.0.1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "c.txt: not readable as an image"
    for name, line in zip(("a.jpg", "b.png", "d.bmp"), (*lines[:2], lines[3]), strict=True):
        assert re.fullmatch(rf"{name}: ({'|'.join(NAMES)}) \(\d+\.\d%\)", line)


def test_no_name_reaches_the_terminal_s_controls(client):
    assert client.printable("café\x1b[2J\r") == r"café\x1b[2J\r"


@pytest.mark.parametrize("name", OTHER_ANSWERS)
def test_another_answer_is_one_line(name, client, rest_port, images, capsys):
    assert client.main([images[0], f"--model={name}", "--host=127.0.0.1"]) == 1
    message = OTHER_ANSWERS[name][1]
    assert re.fullmatch(f"error: .*{message}.*\n", capsys.readouterr().err)


def test_a_missing_image_or_server_is_one_line(client, images, capsys, monkeypatch):
    assert client.main(["missing.jpg", "--model=digits"]) == 1
    assert re.fullmatch("error: .*missing.jpg.*\n", capsys.readouterr().err)
    assert client.main([images[0], "--model=digits", "--host=no host"]) == 1
    assert re.fullmatch("error: http://no host:8501.*\n", capsys.readouterr().err)
    refused = mock.Mock(side_effect=urllib.error.URLError("Connection refused"))
    monkeypatch.setattr(client.urllib.request, "urlopen", refused)
    assert client.main([images[0], "--model=digits"]) == 1
    assert "Connection refused>. Is the server running?" in capsys.readouterr().err


def test_over_grpc_an_error_is_one_line_and_without_it_says_how_to_install_it(
    client, images, capsys, monkeypatch
):
    asked = [images[0], "--model=digits", "--host=127.0.0.1", "--grpc"]
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "grpc", None)
        assert client.main(asked) == 1
    assert "pip install tensorflow-serving-api" in capsys.readouterr().err
    pytest.importorskip("tensorflow_serving.apis.predict_pb2", reason=REASON)
    assert client.main(asked) == 1
    assert re.fullmatch(r"error: 127.0.0.1:8500: [A-Z_]+: .*\n", capsys.readouterr().err)


def test_over_grpc_the_messages_carry_the_same(client, served):
    messages = pytest.importorskip("tensorflow_serving.apis.predict_pb2", reason=REASON)
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
    with pytest.raises(client.NoAnswer, match="other outputs"):
        client.rows_of(messages.PredictResponse())
