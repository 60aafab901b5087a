import numpy as np

from t2t_keras.layers import StochasticDepth
from tests.support.check_layer import check_layer, numpy, random


def test_layer(tmp_path):
    check_layer(StochasticDepth(0.1), random(2, 5, 8), tmp_path=tmp_path)


def test_drops_whole_samples_and_keeps_the_mean():
    branch = np.ones((4000, 2, 3), "float32")
    outputs = numpy(StochasticDepth(0.25, seed=1)(branch, training=True))
    assert (outputs == outputs[:, :1, :1]).all()
    values, counts = np.unique(outputs, return_counts=True)
    np.testing.assert_allclose(values, [0, 4 / 3], rtol=1e-6)
    # Five deviations of a binomial share of 4,000 draws.
    assert abs(counts[0] / outputs.size - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 4000)
