import math

import numpy as np

from t2t_keras.layers import StochasticDepth
from t2t_keras.layers.primitives import gelu
from tests.support.check_layer import numpy


def test_gelu_is_the_exact_one():
    values = np.linspace(-6, 6, 101, dtype="float32")
    expected = [x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in values.astype(float)]
    np.testing.assert_allclose(numpy(gelu(values)), expected, atol=1e-6)


def test_stochastic_depth_drops_whole_samples_and_keeps_the_mean():
    branch = np.ones((4000, 2, 3), "float32")
    outputs = numpy(StochasticDepth(0.25, seed=1)(branch, training=True))
    assert (outputs == outputs[:, :1, :1]).all()
    values, counts = np.unique(outputs, return_counts=True)
    np.testing.assert_allclose(values, [0, 4 / 3], rtol=1e-6)
    # Five deviations of a binomial fraction of 4,000 samples.
    assert abs(counts[0] / outputs.size - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 4000)
