"""The encoder's blocks are layers of the model, so that Keras' own means reach them."""

import keras
import numpy as np
import pytest

from t2t_keras.layers import DeepNarrowEncoder, DenseEncoder
from tests.support.check_layer import run
from tests.support.tiny import tiny_model
from tests.support.visualize_models import IMAGES, KINDS, small_model


def test_blocks_are_layers_by_name():
    model = tiny_model(drop_path_rate=0.2)
    names = [layer.name for layer in model.layers]
    blocks = ["encoder_block_0", "encoder_block_1", "encoder_block_2", "encoder_norm"]
    start = names.index("encoder_block_0")
    assert names[start:] == [*blocks, "pooling", "head"]
    assert [model.get_layer(name).drop_path1.rate for name in blocks[:3]] == [0, 0.1, 0.2]
    without_weights = {"image", "project_padding", "position_drop", "pooling"}
    paths = {variable.path.partition("/")[0] for variable in model.variables}
    assert paths == {*names} - without_weights


@pytest.mark.parametrize("kind", ["performer", "dense"])
def test_the_encoder_layer_is_the_same_chain_of_blocks(kind):
    model = small_model(**KINDS[kind])
    dense = kind == "dense"
    encoder = DenseEncoder((1, 1), 16, 2, 3.0) if dense else DeepNarrowEncoder(2, 2, 3.0)
    names = [block.name for block in encoder.make_blocks()]
    nodes = [model.get_layer(name) for name in (*names, "encoder_norm")]
    encoder.build(nodes[0].input.shape)
    encoder.set_weights([weight for node in nodes for weight in node.get_weights()])
    both = keras.Model(model.input, [nodes[0].input, nodes[-1].output])
    tokens, expected = both.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(run(encoder, tokens), expected, atol=1e-5)


def test_a_block_is_frozen_as_any_layer_is():
    model = tiny_model()
    before = len(model.trainable_variables)
    model.get_layer("encoder_block_1").trainable = False
    frozen = [variable.path for variable in model.trainable_variables]
    assert len(frozen) == before - 11
    assert not [path for path in frozen if path.startswith("encoder_block_1/")]
