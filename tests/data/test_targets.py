import numpy as np

from t2t_keras.data.ops.mixup import soft_targets


def test_smoothing_is_spread_over_all_classes():
    expected = [[0.925, 0.025, 0.025, 0.025], [0.025, 0.025, 0.925, 0.025]]
    np.testing.assert_allclose(soft_targets([0, 2], 4, smoothing=0.1), expected, rtol=1e-6)


def test_without_smoothing_targets_are_one_hot():
    np.testing.assert_array_equal(soft_targets([0, 1, 2, 3], 4), np.eye(4))
