"""Asks a running TensorFlow Serving what is on some images.

    python examples/serving_client.py cat.jpg dog.png --model=digits
    python examples/serving_client.py cat.jpg dog.png --model=digits --grpc

It needs nothing of t2t_keras. REST needs Python alone; gRPC needs `pip install
tensorflow-serving-api`. All images go in one request; an unreadable one only costs its own line.
"""

import argparse
import base64
import http.client
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

SIGNATURE = "serving_image_bytes"
TIMEOUT = 60  # seconds
LONGEST = 64 << 20  # bytes of an answer


class NoAnswer(Exception):
    """The server cannot be reached, refuses, or answers something else."""


def request_body(files: list[bytes]) -> bytes:
    """The JSON of a REST request."""
    instances = [{"image_bytes": {"b64": base64.b64encode(file).decode()}} for file in files]
    return json.dumps({"signature_name": SIGNATURE, "instances": instances}).encode()


def over_rest(host: str, model: str, files: list[bytes]) -> list[dict]:
    """Classes, probabilities and `ok` of each file, from the REST port."""
    url = f"http://{host}:8501/v1/models/{model}:predict"
    request = urllib.request.Request(url, request_body(files), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:
            return json.loads(reply.read(LONGEST))["predictions"]
    except urllib.error.HTTPError as error:
        said = error.read(LONGEST).decode(errors="replace")
        raise NoAnswer(f"{url}: {error}: {said}") from error
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(f"{url}: {error}. Is the server running?") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise NoAnswer(f"{url}: an answer without predictions") from error


def predict_request(model: str, files: list[bytes]):
    """The message of a gRPC request."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = SIGNATURE
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(files, tf.string))
    return request


def rows_of(reply) -> list[dict]:
    """The rows of a gRPC reply, as REST has them."""
    import tensorflow as tf

    outputs = {name: tf.make_ndarray(tensor) for name, tensor in reply.outputs.items()}
    if not {"classes", "probabilities", "ok"} <= set(outputs):
        raise NoAnswer(f"an answer with other outputs: {', '.join(outputs)}")
    return [
        {
            "classes": [label.decode() for label in classes],
            "probabilities": probabilities.tolist(),
            "ok": bool(ok),
        }
        for classes, probabilities, ok in zip(
            outputs["classes"], outputs["probabilities"], outputs["ok"], strict=True
        )
    ]


def over_grpc(host: str, model: str, files: list[bytes]) -> list[dict]:
    """Classes, probabilities and `ok` of each file, from the gRPC port."""
    try:
        import grpc
        from tensorflow_serving.apis import prediction_service_pb2_grpc
    except ImportError as error:
        raise NoAnswer(f"{error}. --grpc needs: pip install tensorflow-serving-api") from error

    place = f"{host}:8500"
    try:
        with grpc.insecure_channel(place) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            reply = stub.Predict(predict_request(model, files), timeout=TIMEOUT)
    except grpc.RpcError as error:
        raise NoAnswer(f"{place}: {error.code().name}: {error.details()}") from error
    return rows_of(reply)


def printable(text: str) -> str:
    """The text with its control characters, which a terminal would obey, as escapes."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def lines(names: list[str], rows: list[dict]) -> list[str]:
    """A line of text for each image."""
    try:
        return [
            f"{name}: {row['classes'][0]} ({row['probabilities'][0]:.1%})"
            if row["ok"]
            else f"{name}: not readable as an image"
            for name, row in zip(names, rows, strict=True)
        ]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise NoAnswer("an answer of another model: no classes of each image") from error


def main(arguments: list[str] | None = None) -> int:
    """Asks, writes a line an image and returns the exit code: 1 where there is no answer."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--model", required=True, help="MODEL_NAME of the server")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--grpc", action="store_true", help="ask port 8500 in place of 8501")
    asked = parser.parse_args(arguments)
    ask = over_grpc if asked.grpc else over_rest
    try:
        files = [path.read_bytes() for path in asked.images]
        said = lines([path.name for path in asked.images], ask(asked.host, asked.model, files))
    except (OSError, NoAnswer) as error:  # an OSError is an image's, and names it
        sys.stderr.write(f"error: {printable(str(error))}\n")
        return 1
    sys.stdout.write("".join(f"{printable(each)}\n" for each in said))
    return 0


if __name__ == "__main__":
    sys.exit(main())
