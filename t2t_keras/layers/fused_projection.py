"""LayerNorm and a linear layer over every window of a map, without building the windows.

With u the mean of a window x and s its deviation, LayerNorm and a linear layer give
    ((x - u) / s * gamma + beta) W + b = (x - u) (gamma W) / s + beta W + b.
The parts of (x - u) sum to 0, so (x - u) V = x (V - mean of V's rows): one convolution of the map
itself, with a centered kernel. The deviation comes from pooled moments of a map of one channel.
"""

import keras
from keras import ops

from t2t_keras.layers.primitives import Tensor
from t2t_keras.layers.soft_split import pad_border, windows_along


def _standardized(padded: Tensor) -> tuple[Tensor, Tensor]:
    """The map minus its image's mean, over its deviation, and 1 / deviation**2: (B, 1, 1, 1)."""
    # Far from 0 digits would be lost and 16-bit numbers overflow. LayerNorm cancels the change (the
    # caller scales its epsilon alike), so no gradient needs to go through the two numbers.
    axes = (1, 2, 3)
    exact = ops.cast(padded, "float32")
    centered = exact - ops.stop_gradient(ops.mean(exact, axis=axes, keepdims=True))
    variance = ops.mean(ops.square(centered), axis=axes, keepdims=True)
    inverse_variance = ops.stop_gradient(1.0 / (variance + 1e-12))
    return centered * ops.sqrt(inverse_variance), inverse_variance


def _window_variance(centered: Tensor, kernel_size: int, strides: int) -> Tensor:
    """Variance of all values in each window: (B, H, W, C) float32 -> (B, h, w, 1).

    Means and variances are joined pixel by pixel, then along columns and rows: E[x^2] - E[x]^2
    loses all digits where a window is flat and far from the image's mean.
    """
    mean = ops.mean(centered, axis=-1)
    variance = ops.mean(ops.square(centered - mean[..., None]), axis=-1)
    for axis in (1, 2):
        means = windows_along(mean, axis, kernel_size, strides)
        mean = ops.mean(means, axis=-1)
        spread = ops.mean(ops.square(means - mean[..., None]), axis=-1)
        variances = windows_along(variance, axis, kernel_size, strides)
        variance = ops.mean(variances, axis=-1) + spread
    return variance[..., None]


def normalized_projection(
    feature_map: Tensor,
    norm: keras.layers.LayerNormalization,
    dense: keras.layers.Dense,
    kernel_size: int,
    strides: int,
    padding: int,
) -> Tensor:
    """Equals `dense(norm(SoftSplit(kernel_size, strides, padding)(feature_map)))`.

    The result has the map's dtype. Under any policy moments and the folded kernel are float32, of
    weights as Keras casts them.
    """
    dtype = feature_map.dtype
    channels = feature_map.shape[-1]
    centered, inverse_variance = _standardized(pad_border(feature_map, padding))
    variance = _window_variance(centered, kernel_size, strides)
    inverse_deviation = ops.rsqrt(variance + norm.epsilon * inverse_variance)

    dense_kernel = ops.cast(dense.kernel, "float32")
    kernel = ops.cast(norm.gamma, "float32")[:, None] * dense_kernel
    kernel = kernel - ops.mean(kernel, axis=0, keepdims=True)
    kernel = ops.reshape(kernel, (channels, kernel_size, kernel_size, dense.units))
    kernel = ops.cast(ops.transpose(kernel, (1, 2, 0, 3)), dtype)
    layout = {"strides": strides, "padding": "valid", "data_format": "channels_last"}
    projected = ops.conv(ops.cast(centered, dtype), kernel, **layout)
    offset = ops.matmul(ops.cast(norm.beta, "float32")[None], dense_kernel)[0]
    if dense.use_bias:
        offset = offset + ops.cast(dense.bias, "float32")
    return ops.cast(ops.cast(projected, "float32") * inverse_deviation + offset, dtype)
