"""The models' graphs hold no operation that an export format has no word for."""

import pytest
import tensorflow as tf

from t2t_keras import T2TBlock, T2TViT
from tests.support.tiny import tiny_variant

# ONNX has no Erfc, OpenVINO no MatrixDiagV3, LiteRT and ONNX no ExtractImagePatches.
HINDERING = {"Erfc", "MatrixDiagV3", "ExtractImagePatches", "PyFunc", "EagerPyFunc"}
VARIANTS = {
    "performer": tiny_variant(depth=1),
    "transformer": tiny_variant("transformer", depth=1),
    "convolution": tiny_variant("convolution", depth=1),
    "squeeze_excite": tiny_variant(block_type="squeeze_excite", depth=1),
    "ghost": tiny_variant(block_type="ghost", depth=1),
    "dense": tiny_variant(block_type="dense", depth=(1, 1), growth_rate=8),
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


@pytest.mark.parametrize("token_type", ["performer", "transformer"])
@pytest.mark.parametrize(
    ("shape", "split", "tokens"), [((64, 64, 3), (7, 4, 2), 256), ((16, 16, 16), (3, 2, 1), 64)]
)
def test_the_unfolded_tensor_is_never_held(token_type, shape, split, tokens):
    """No tensor of a block's graph is as large as the windows of its soft split."""
    block = T2TBlock(16, *split, token_type=token_type)
    block.build((None, *shape))
    signature = tf.TensorSpec((None, *shape), tf.float32)
    graph = tf.function(block).get_concrete_function(signature).graph
    sizes = [
        output.shape[1:].num_elements()
        for operation in graph.get_operations()
        for output in operation.outputs
        if output.shape.rank and output.shape.rank > 2 and output.shape[0] is None
    ]
    attention = tokens**2 if token_type == "transformer" else 0
    unfolded = tokens * split[0] ** 2 * shape[-1]
    assert max(size for size in sizes if size and size != attention) < unfolded
