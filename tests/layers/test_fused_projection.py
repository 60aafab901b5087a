"""The fused stem against float64, beside building the windows."""

import keras
import numpy as np
import pytest

from t2t_keras.layers import SoftSplit
from t2t_keras.layers.fused_projection import normalized_projection
from tests.support.check_layer import numpy, random, run


def _layers(window_dim):
    norm = keras.layers.LayerNormalization(epsilon=1e-5)
    norm.build((None, window_dim))
    norm.gamma.assign(1 + 0.3 * random(window_dim, seed=1))
    norm.beta.assign(0.3 * random(window_dim, seed=2))
    dense = keras.layers.Dense(24)
    dense.build((None, window_dim))
    dense.kernel.assign(0.3 * random(window_dim, 24, seed=3))
    dense.bias.assign(0.3 * random(24, seed=4))
    return norm, dense


def _in_float64(windows, norm, dense):
    windows = windows.astype(np.float64)
    centerd = windows - windows.mean(axis=-1, keepdims=True)
    normalized = centerd / np.sqrt(np.square(centerd).mean(axis=-1, keepdims=True) + 1e-5)
    normalized = normalized * numpy(norm.gamma) + numpy(norm.beta)
    return normalized @ numpy(dense.kernel) + numpy(dense.bias)


def _image(kind):
    noise = random(1, 37, 50, 3)
    return {
        "usual": noise,
        "far from 0": noise + 100,
        "faint": 1e-3 * noise,
        "half of it nearly flat": np.where(np.arange(50)[:, None] < 20, 2.6 + 1e-3 * noise, noise),
        "flat": np.full_like(noise, 2.6),
        "black": np.zeros_like(noise),
    }[kind]


@pytest.mark.parametrize("split", [(7, 4, 2), (3, 2, 1), (3, 1, 1), (5, 3, 0)])
@pytest.mark.parametrize(
    ("kind", "tolerance"),
    [
        ("usual", 1e-6),
        ("faint", 1e-6),
        ("black", 1e-6),
        # Here the image's own float32 rounding is up to 1e-4 of what LayerNorm makes of it.
        ("far from 0", 1e-5),
        ("flat", 1e-4),
        ("half of it nearly flat", 2e-4),
    ],
)
def test_exact_for_any_image(split, kind, tolerance):
    feature_map = _image(kind).astype("float32")
    norm, dense = _layers(split[0] ** 2 * 3)
    windows = run(SoftSplit(*split), feature_map)
    exact = _in_float64(windows, norm, dense)
    scale = np.abs(exact).max()
    fused = run(lambda x: normalized_projection(x, norm, dense, *split), feature_map) - exact
    unfolded = run(lambda x: dense(norm(x)), windows) - exact
    assert np.abs(fused).max() <= tolerance * scale
    # Sums of 147 values far from 0, in a window that is flat, lose twice what the windows' own do.
    assert _rms(fused) <= max(3 * _rms(unfolded), 1e-6 * scale)


def _rms(errors):
    return np.sqrt(np.square(errors).mean())
