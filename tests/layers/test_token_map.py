import numpy as np

from t2t_keras.layers import TokenMap
from tests.support.check_layer import check_layer, numpy, random


def test_layer(tmp_path):
    check_layer(TokenMap(), random(2, 7, 4), random(2, 2, 3, 5), tmp_path=tmp_path)


def test_rows_of_patches_are_rows_of_the_map():
    tokens = np.arange(7.0).reshape(1, 7, 1)
    found = numpy(TokenMap()(tokens, np.zeros((1, 2, 3, 1))))
    assert found[0, :, :, 0].tolist() == [[1, 2, 3], [4, 5, 6]]
