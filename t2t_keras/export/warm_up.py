"""Requests that TensorFlow Serving replays before it serves a version, so that no user waits.

The file is a TFRecord of `tensorflow.serving.PredictionLog` messages. The few fields that are used
are written here as protocol buffers have them, because an export must not hang on the package that
defines them; the tests read the file with that package.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

PLACE = Path("assets.extra") / "tf_serving_warmup_requests"

_LENGTH_DELIMITED = 2
# The numbers of fields: tensorflow_serving/apis/prediction_log.proto, predict.proto, model.proto.
_PREDICT_LOG, _REQUEST = 6, 1
_MODEL_SPEC, _INPUTS = 1, 2
_SIGNATURE_NAME = 3
_KEY, _VALUE = 1, 2


Request = tuple[str, Mapping[str, Any]]


def write_warm_up(folder: Path, requests: Iterable[Request]) -> None:
    """Writes the requests into a SavedModel.

    Args:
        folder: Of the SavedModel.
        requests: Of each, the signature's name and its inputs, each a `TensorProto` under its name.
            TensorFlow Serving takes 1000 requests.
    """
    path = folder / PLACE
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests:
            writer.write(_prediction_log(signature, inputs))


def _prediction_log(signature: str, inputs: Mapping[str, Any]) -> bytes:
    request = _field(_MODEL_SPEC, _field(_SIGNATURE_NAME, signature.encode()))
    for name, tensor in inputs.items():
        entry = _field(_KEY, name.encode()) + _field(_VALUE, tensor.SerializeToString())
        request += _field(_INPUTS, entry)
    return _field(_PREDICT_LOG, _field(_REQUEST, request))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
