import math

import numpy as np

from t2t_keras.layers.primitives import gelu
from tests.support.check_layer import numpy


def test_gelu_is_the_exact_one():
    values = np.linspace(-6, 6, 101, dtype="float32")
    expected = [x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in values.astype(float)]
    np.testing.assert_allclose(numpy(gelu(values)), expected, atol=1e-6)
