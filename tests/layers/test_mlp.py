import numpy as np

from t2t_keras.layers import Mlp
from tests.support.check_layer import numpy


def test_two_dropouts_of_one_seed_differ():
    layer = Mlp(1.0, drop_rate=0.5, seed=3)
    layer.build((None, 64, 64))
    ones = np.ones((1, 64, 64), "float32")
    masks = [numpy(drop(ones, training=True)) for drop in (layer.drop1, layer.drop2)]
    assert (masks[0] != masks[1]).mean() > 0.3
