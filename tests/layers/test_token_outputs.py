import numpy as np

from t2t_keras.layers import TokenMap, TokenPooling
from tests.support.check_layer import numpy, random


def test_rows_of_patches_are_rows_of_the_map():
    tokens = np.arange(7.0).reshape(1, 7, 1)
    found = numpy(TokenMap()(tokens, np.zeros((1, 2, 3, 1))))
    assert found[0, :, :, 0].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_pooling_leaves_the_class_token_to_itself():
    tokens = random(2, 5, 8)
    pooled = {kind: numpy(TokenPooling(kind)(tokens)) for kind in ("token", "avg", "max")}
    np.testing.assert_array_equal(pooled["token"], tokens[:, 0])
    np.testing.assert_allclose(pooled["avg"], tokens[:, 1:].mean(axis=1), atol=1e-6)
    np.testing.assert_array_equal(pooled["max"], tokens[:, 1:].max(axis=1))
