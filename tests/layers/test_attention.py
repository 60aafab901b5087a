import keras
import numpy as np

from t2t_keras.layers import MultiHeadSelfAttention
from t2t_keras.layers.attention import softmax_in_float32
from tests.support.check_layer import numpy, random


def test_equals_keras_attention_of_the_same_weights():
    ours = MultiHeadSelfAttention(2)
    tokens = random(2, 5, 8)
    ours.build(tokens.shape)
    ours.set_weights([random(*weight.shape, seed=i) for i, weight in enumerate(ours.weights)])
    theirs = keras.layers.MultiHeadAttention(2, 4)
    theirs.build(tokens.shape, tokens.shape)
    weights = []
    for kernel in np.split(numpy(ours.qkv.kernel), 3, axis=1):
        weights += [kernel.reshape(8, 2, 4), np.zeros((2, 4))]
    weights += [numpy(ours.proj.kernel).reshape(2, 4, 8), numpy(ours.proj.bias)]
    theirs.set_weights(weights)
    np.testing.assert_allclose(numpy(ours(tokens)), numpy(theirs(tokens, tokens)), atol=1e-5)


def test_weights_sum_to_one():
    layer = MultiHeadSelfAttention(2)
    layer.build((None, 5, 8))
    weights = numpy(layer.attention_weights(random(2, 5, 8), random(2, 5, 8, seed=1)))
    assert weights.shape == (2, 2, 5, 5)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-6)


def test_softmax_is_computed_in_float32_and_rounded_once():
    scores = keras.ops.cast(random(64, 4096, scale=3.0), "bfloat16")
    weights = softmax_in_float32(scores)
    assert keras.backend.standardize_dtype(weights.dtype) == "bfloat16"
    exact = numpy(keras.ops.softmax(keras.ops.cast(scores, "float32")))
    # Half a unit in the last of bfloat16's 8 digits; computed in bfloat16 it is 20 times that.
    np.testing.assert_allclose(numpy(weights), exact, rtol=2**-8)


def test_dropout_works_in_training_only():
    layer = MultiHeadSelfAttention(2, attn_drop_rate=0.5, seed=1)
    tokens = random(2, 5, 8)
    np.testing.assert_array_equal(numpy(layer(tokens)), numpy(layer(tokens, training=False)))
    assert np.abs(numpy(layer(tokens, training=True)) - numpy(layer(tokens))).max() > 0
