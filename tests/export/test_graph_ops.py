"""The models' graphs hold no operation that an export format has no word for."""

import pytest
import tensorflow as tf

from t2t_keras import T2TViT
from tests.tiny import tiny_variant

# ONNX has no Erfc, OpenVINO no MatrixDiagV3, LiteRT and ONNX no ExtractImagePatches.
HINDERING = {"Erfc", "MatrixDiagV3", "ExtractImagePatches", "PyFunc", "EagerPyFunc"}
VARIANTS = {
    "performer": tiny_variant(),
    "transformer": tiny_variant("transformer"),
    "convolution": tiny_variant("convolution"),
    "squeeze_excite": tiny_variant(block_type="squeeze_excite"),
    "ghost": tiny_variant(block_type="ghost"),
    "dense": tiny_variant(block_type="dense", depth=(1, 2), growth_rate=8),
}


def _graph(variant, shape):
    model = T2TViT(variant, classes=4, input_shape=shape)
    signature = tf.TensorSpec((None, *shape), tf.float32)
    return tf.function(model).get_concrete_function(signature).graph


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("shape", [(64, 64, 3), (None, None, 3)])
def test_every_operation_exports(name, shape):
    operations = {operation.type for operation in _graph(VARIANTS[name], shape).get_operations()}
    assert operations.isdisjoint(HINDERING)
    assert operations & {"Conv2D"}


@pytest.mark.parametrize("name", ["performer", "transformer"])
def test_the_unfolded_tensor_is_never_held(name):
    """No tensor of the graph is as large as the windows of the first or second soft split."""
    graph = _graph(VARIANTS[name], (64, 64, 3))
    sizes = [
        output.shape[1:].num_elements()
        for operation in graph.get_operations()
        for output in operation.outputs
        if output.shape.rank and output.shape.rank > 2 and output.shape[0] is None
    ]
    attention = 256 * 256 if name == "transformer" else 0
    unfolded = 256 * 147
    assert [size for size in sizes if size and size >= unfolded and size != attention] == []
