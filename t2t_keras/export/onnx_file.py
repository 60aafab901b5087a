"""ONNX, for ONNX Runtime and whatever else reads it."""

import tempfile
from pathlib import Path

import keras
import numpy as np

MODEL_NAME = "model.onnx"


def write_onnx(model: keras.Model, folder: Path, quantize: str | None) -> None:
    """Writes `model.onnx`.

    Args:
        model: What `plain_model` makes.
        folder: Where it goes.
        quantize: "float16" stores weights in 16 bits and computes in 32; "int8" stores those of
            matrix products in 8 bits and rounds what they are multiplied with, to its own range.

    Raises:
        RuntimeError: The model cannot be quantized; tf2onnx' own errors are of many kinds.
    """
    if quantize is None:
        _write_full(model, folder / MODEL_NAME)
        return
    with tempfile.TemporaryDirectory() as scratch:
        full = Path(scratch) / MODEL_NAME
        _write_full(model, full)
        quantize_onnx(full, folder / MODEL_NAME, quantize)


def quantize_onnx(source: Path, target: Path, quantize: str) -> None:
    """Writes a float32 ONNX file anew, as `write_onnx` says of "float16" and "int8"."""
    from onnx.shape_inference import InferenceError

    write = _write_half if quantize == "float16" else _write_int8
    try:
        write(source, target)
    except InferenceError as error:
        raise RuntimeError(str(error)) from error


def _write_full(model: keras.Model, target: Path) -> None:
    # Without the signature Keras wants a model that was called before.
    image = keras.InputSpec(shape=model.input_shape, dtype="float32", name="image")
    model.export(str(target), format="onnx", verbose=False, input_signature=[image])


def _write_half(source: Path, target: Path) -> None:
    import onnx

    model = onnx.load(source)
    graph = model.graph
    casts = []
    for tensor in [one for one in graph.initializer if one.data_type == onnx.TensorProto.FLOAT]:
        values = onnx.numpy_helper.to_array(tensor)
        if values.size == 1:
            continue  # saves nothing, and may be too small for 16 bits
        stored = f"{tensor.name}_float16"
        casts.append(
            onnx.helper.make_node("Cast", [stored], [tensor.name], to=onnx.TensorProto.FLOAT)
        )
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), stored))
    nodes = [*casts, *graph.node]  # in the order of use
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, target)


def _write_int8(source: Path, target: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Convolutions stay: ONNX Runtime is slower with the stem's in integers.
    quantize_dynamic(source, target, op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8)
