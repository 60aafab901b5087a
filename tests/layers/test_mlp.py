import numpy as np
import pytest

from t2t_keras.layers import Mlp
from tests.support.check_layer import check_layer, numpy, random


def test_layer(tmp_path):
    check_layer(Mlp(3.0), random(2, 5, 8), tmp_path=tmp_path)


def test_two_dropouts_of_one_seed_differ():
    layer = Mlp(1.0, drop_rate=0.5, seed=3)
    layer.build((None, 64, 64))
    ones = np.ones((1, 64, 64), "float32")
    masks = [numpy(drop(ones, training=True)) for drop in (layer.drop1, layer.drop2)]
    assert (masks[0] != masks[1]).mean() > 0.3


def test_ratio_must_be_above_zero():
    with pytest.raises(ValueError, match="`mlp_ratio` must be above 0.*mlp_ratio=0"):
        Mlp(0)
