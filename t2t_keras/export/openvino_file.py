"""OpenVINO's own format, for Intel's processors."""

import tempfile
from pathlib import Path

import keras

MODEL_NAME = "model.xml"  # and model.bin beside it


def write_openvino(model: keras.Model, folder: Path, quantize: str | None) -> None:
    """Writes `model.xml` and `model.bin`.

    Args:
        model: What `plain_model` makes.
        folder: Where they go.
        quantize: "float16" stores weights in 16 bits, "int8" those of layers in 8 and others in
            16; what OpenVINO computes in is its own choice on each device.
    """
    if quantize is None:
        model.export(str(folder / MODEL_NAME), format="openvino", verbose=False)
        return
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / MODEL_NAME
        model.export(str(whole), format="openvino", verbose=False)
        quantize_openvino(whole, folder / MODEL_NAME, quantize)


def quantize_openvino(source: Path, target: Path, quantize: str) -> None:
    """Writes a float32 OpenVINO file anew, as `write_openvino` says of "float16" and "int8"."""
    import openvino

    graph = openvino.Core().read_model(source)
    if quantize == "int8":
        graph = _in_int8(graph)
    openvino.save_model(graph, target, compress_to_fp16=True)


def _in_int8(graph):
    import nncf

    return nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_ASYM)
