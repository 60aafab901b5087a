"""LayerNorm and a linear layer over every window of a map, without building the windows.

With u the mean of a window x and s its deviation, LayerNorm and a linear layer give
    ((x - u) / s * gamma + beta) W + b = (x - u) (gamma W) / s + beta W + b.
The parts of (x - u) sum to 0, so (x - u) V = x (V - mean of V's rows): one convolution of the map
itself, with a centerd kernel. The deviation comes from pooled moments of a map of one channel.
"""

import keras
from keras import ops

from t2t_keras.layers.soft_split import pad_border, windows_along


def _standardized(padded):
    """The map less its image's mean, over its deviation, and 1 / deviation**2: (B, 1, 1, 1).

    LayerNorm does not see such a change (but for its epsilon, which the caller scales alike), so no
    gradient needs to go through the two numbers; far from 0, though, digits would be lost, and
    16-bit numbers overflow.
    """
    axes = (1, 2, 3)
    exact = ops.cast(padded, "float32")
    mean = ops.stop_gradient(ops.mean(exact, axis=axes, keepdims=True))
    centerd = exact - mean
    variance = ops.mean(ops.square(centerd), axis=axes, keepdims=True)
    inverse_variance = ops.stop_gradient(1.0 / (variance + 1e-12))
    return centerd * ops.sqrt(inverse_variance), inverse_variance


def _window_variance(centerd, kernel_size: int, strides: int):
    """Variance of all values in each window: (B, H, W, C) float32 -> (B, h, w, 1).

    Means and variances are joined pixel by pixel, then along columns and rows: E[x^2] - E[x]^2
    loses all digits where a window is flat and far from the image's mean.
    """
    mean = ops.mean(centerd, axis=-1)
    variance = ops.mean(ops.square(centerd - mean[..., None]), axis=-1)
    for axis in (1, 2):
        means = windows_along(mean, axis, kernel_size, strides)
        mean = ops.mean(means, axis=-1)
        spread = ops.mean(ops.square(means - mean[..., None]), axis=-1)
        variances = windows_along(variance, axis, kernel_size, strides)
        variance = ops.mean(variances, axis=-1) + spread
    return variance[..., None]


def normalized_projection(
    feature_map,
    norm: keras.layers.LayerNormalization,
    dense: keras.layers.Dense,
    kernel_size: int,
    strides: int,
    padding: int,
):
    """Equals `dense(norm(SoftSplit(kernel_size, strides, padding)(feature_map)))`.

    Args:
        feature_map: (B, H, W, C).
        norm: LayerNorm over windows of C * kernel_size**2 values, channel-major.
        dense: Linear layer of the same windows, with or without a bias.
        kernel_size: Side of a window in pixels.
        strides: Distance between two windows in pixels.
        padding: Pixels of zeros on each side of the map.

    Returns:
        (B, h, w, dense.units) in the map's dtype; moments are float32 under any policy.
    """
    dtype = feature_map.dtype
    channels = feature_map.shape[-1]
    centerd, inverse_variance = _standardized(pad_border(feature_map, padding))
    variance = _window_variance(centerd, kernel_size, strides)
    inverse_deviation = ops.rsqrt(variance + norm.epsilon * inverse_variance)

    kernel = ops.cast(norm.gamma, "float32")[:, None] * ops.cast(dense.kernel, "float32")
    kernel = kernel - ops.mean(kernel, axis=0, keepdims=True)
    kernel = ops.reshape(kernel, (channels, kernel_size, kernel_size, dense.units))
    kernel = ops.transpose(kernel, (1, 2, 0, 3))
    projected = ops.conv(
        ops.cast(centerd, dtype),
        ops.cast(kernel, dtype),
        strides=strides,
        padding="valid",
        data_format="channels_last",
    )
    offset = ops.matmul(ops.cast(norm.beta, "float32")[None], ops.cast(dense.kernel, "float32"))[0]
    if dense.use_bias:
        offset = offset + ops.cast(dense.bias, "float32")
    return ops.cast(ops.cast(projected, "float32") * inverse_deviation + offset, dtype)
