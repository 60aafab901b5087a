"""The requests that TensorFlow Serving warms up with, read by its own messages."""

import numpy as np
import pytest
import tensorflow as tf

from t2t_keras.export.saved_model import PLACE

MISSING = 'needs pip install -e ".[serving]"'


@pytest.fixture(scope="module")
def requests(exported):
    logs = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2", reason=MISSING)
    records = tf.data.TFRecordDataset(str(exported / PLACE)).as_numpy_iterator()
    return [logs.PredictionLog.FromString(record).predict_log.request for record in records]


def test_every_signature_is_warmed_up_with_every_batch_size(requests, served):
    seen = set()
    for request in requests:
        name = request.model_spec.signature_name
        inputs = {key: tf.make_ndarray(tensor) for key, tensor in request.inputs.items()}
        outputs = served[name](**{key: tf.constant(value) for key, value in inputs.items()})
        (count,) = {len(value) for value in inputs.values()}
        assert {len(value) for value in outputs.values()} == {count}
        seen |= {(name, count)}
    signatures = ("serving_default", "serving_image_bytes", "features")
    assert seen == {(name, count) for name in signatures for count in (1, 8)}


def test_warm_up_images_can_be_read(requests, served):
    (request,) = [
        one
        for one in requests
        if one.model_spec.signature_name == "serving_image_bytes"
        and one.inputs["image_bytes"].tensor_shape.dim[0].size == 1
    ]
    files = tf.constant(tf.make_ndarray(request.inputs["image_bytes"]))
    outputs = served["serving_image_bytes"](image_bytes=files)
    assert outputs["ok"].numpy().all()


def test_a_predict_request_holds_what_the_signatures_take(exported, served):
    """What a gRPC client sends, through the server's own message and back."""
    predict = pytest.importorskip("tensorflow_serving.apis.predict_pb2", reason=MISSING)
    sent = predict.PredictRequest()
    sent.model_spec.name, sent.model_spec.signature_name = "digits", "serving_default"
    image = np.full((2, 20, 30, 3), 99.0, np.float32)
    sent.inputs["image"].CopyFrom(tf.make_tensor_proto(image))
    got = predict.PredictRequest.FromString(sent.SerializeToString())
    (inputs,) = [{key: tf.make_ndarray(value) for key, value in got.inputs.items()}]
    outputs = served[got.model_spec.signature_name](image=tf.constant(inputs["image"]))
    reply = predict.PredictResponse()
    for name, value in outputs.items():
        reply.outputs[name].CopyFrom(tf.make_tensor_proto(value))
    assert tf.make_ndarray(reply.outputs["classes"]).shape == (2, 5)
