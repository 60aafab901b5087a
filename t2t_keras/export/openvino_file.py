"""OpenVINO's own format, for Intel's processors."""

import tempfile
from pathlib import Path

import keras

from t2t_keras.export.plain_model import save_graph

MODEL_NAME = "model.xml"  # and model.bin beside it


def write_openvino(model: keras.Model, folder: Path, quantize: str | None) -> None:
    """Writes `model.xml` and `model.bin`.

    Args:
        model: What `plain_model` makes.
        folder: Where they go.
        quantize: "float16" stores weights in 16 bits, "int8" those of layers in 8 and others in
            16; what OpenVINO computes in is its own choice on each device.

    Raises:
        RuntimeError: OpenVINO has no words for the model.
    """
    with tempfile.TemporaryDirectory() as scratch:
        save_graph(model, Path(scratch))
        convert_to_openvino(Path(scratch), folder / MODEL_NAME, quantize)


def convert_to_openvino(source: Path, target: Path, quantize: str | None) -> None:
    """Writes the files of what `save_graph` wrote, as `write_openvino` says."""
    import openvino
    from openvino import frontend

    try:
        graph = openvino.Core().read_model(source)
    except (
        frontend.GeneralFailure,
        frontend.InitializationFailure,
        frontend.NotImplementedFailure,
        frontend.OpConversionFailure,
        frontend.OpValidationFailure,
    ) as error:
        raise RuntimeError(str(error)) from error
    if quantize == "int8":
        graph = _in_int8(graph)
    openvino.save_model(graph, target, compress_to_fp16=quantize is not None)


def _in_int8(graph):
    import nncf

    try:
        return nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_ASYM)
    except (nncf.InternalError, nncf.UnsupportedModelError, nncf.ValidationError) as error:
        raise RuntimeError(str(error)) from error
