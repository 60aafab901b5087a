"""Config, shapes, precision, compilation and saving of every layer, whatever it computes."""

import pytest
from keras.src.testing import TestCase

from t2t_keras import layers
from tests.support.check_layer import EVERY_LAYER, check_layer, random


@pytest.mark.parametrize(("make", "shapes"), EVERY_LAYER)
def test_layer(make, shapes, tmp_path):
    check_layer(make(), *(random(2, *shape) for shape in shapes), tmp_path=tmp_path)


@pytest.mark.parametrize(("make", "shapes"), EVERY_LAYER)
@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights")
def test_keras_own_checks_of_a_layer(make, shapes):
    layer, batches = make(), [(2, *shape) for shape in shapes]
    config = layer.get_config()
    arguments = {name: config[name] for name in config.keys() - {"name", "dtype", "trainable"}}
    given, alone = batches[0], len(batches) == 1
    if not alone:
        given = dict(zip(("tokens_shape", "feature_map_shape"), batches, strict=True))
    TestCase().run_layer_test(type(layer), arguments, given, run_training_check=alone)


def test_there_is_no_other_layer():
    public = {each for each in vars(layers).values() if isinstance(each, type)}
    assert {type(param.values[0]()) for param in EVERY_LAYER} == public


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: layers.MultiHeadSelfAttention(0), "num_heads=0"),
        (lambda: layers.MultiHeadSelfAttention(3).build((1, 5, 8)), "a divisor of D, 8.*heads=3"),
        (lambda: layers.Mlp(0), "`mlp_ratio` must be above 0.*mlp_ratio=0"),
        (lambda: layers.SoftSplit(0, 2, 1), "`kernel_size` must be at least 1.*kernel_size=0"),
        (lambda: layers.SoftSplit(3, 0, 1), "`strides` must be at least 1.*strides=0"),
        (lambda: layers.SoftSplit(3, 2, -1), "`padding` must be at least 0.*padding=-1"),
        (lambda: layers.SoftSplit(7, 4).compute_output_shape((1, 6, 30, 3)), "a window of 7"),
        (lambda: layers.TokenPerformer(0), "`token_dim` must be at least 1"),
        (lambda: layers.TokenTransformer(0), "`token_dim` must be at least 1"),
        (lambda: layers.TokenPerformer(8, kernel_ratio=0), "`kernel_ratio` must be in"),
        (lambda: layers.T2TBlock(8, 3, 2, 1, "convolution"), "`token_type` must be one of"),
        (lambda: layers.PositionTable((0, 3)), "`grid_size` must be"),
        (lambda: layers.PositionTable((3,)), "`grid_size` must be"),
        (lambda: layers.DeepNarrowEncoder(0, 2, 2.0), "`depth` must be at least 1"),
        (lambda: layers.EncoderBlock(2, 2.0, block_type="dense"), "`block_type` must be one of"),
        (lambda: layers.SqueezeExcite(0), "`reduction` must be at least 1"),
        (lambda: layers.SqueezeExcite(16).build((None, 5, 8)), "`reduction` must be at most D, 8"),
        (lambda: layers.GhostMlp(2.0), "`mlp_ratio` must be 3"),
        (lambda: layers.GhostAttention(1).build((None, 5, 7)), "even width"),
        (lambda: layers.DenseGrowthBlock(0, 2, 2.0), "`growth_rate` must be at least 1"),
        (lambda: layers.DenseEncoder((), 4, 2, 2.0), "`depth` must be a tuple with a number"),
        (lambda: layers.TokenPooling("sum"), "`pooling` must be one of"),
    ],
)
def test_wrong_arguments_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
