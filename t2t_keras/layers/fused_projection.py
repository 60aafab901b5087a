"""LayerNorm and a linear layer over every window of a map, without building the windows.

With u the mean of a window x and s its deviation, LayerNorm and a linear layer give
    ((x - u) / s * gamma + beta) W + b = (x - u) (gamma W) / s + beta W + b.
The parts of (x - u) sum to 0, so (x - u) V = x (V - mean of V's rows): one convolution of the map
itself, with a centered kernel. The deviation comes from pooled moments of a map of one channel.
"""

import keras
from keras import ops
from keras.src.backend import AutocastScope  # without it no weight is read as it is stored

from t2t_keras.layers.primitives import Tensor, exact_dtype
from t2t_keras.layers.soft_split import pad_border, windows_along


def _standardized(padded: Tensor) -> tuple[Tensor, Tensor]:
    """The map minus its image's mean, over its deviation, and 1 / deviation**2: (B, 1, 1, 1)."""
    # Far from 0 digits would be lost and 16-bit numbers overflow. LayerNorm cancels the change (the
    # caller scales its epsilon alike), so no gradient needs to go through the two numbers.
    axes = (1, 2, 3)
    centered = padded - ops.stop_gradient(ops.mean(padded, axis=axes, keepdims=True))
    variance = ops.mean(ops.square(centered), axis=axes, keepdims=True)
    inverse_variance = ops.stop_gradient(1.0 / (variance + 1e-12))
    return centered * ops.sqrt(inverse_variance), inverse_variance


def _window_variance(centered: Tensor, kernel_size: int, strides: int) -> Tensor:
    """Variance of all values in each window: (B, H, W, C) -> (B, h, w, 1).

    Means and variances are joined pixel by pixel, then along columns and rows: E[x^2] - E[x]^2
    loses all digits where a window is flat and far from the image's mean.
    """
    mean = ops.mean(centered, axis=-1)
    variance = ops.mean(ops.square(centered - ops.expand_dims(mean, -1)), axis=-1)
    for axis in (1, 2):
        means = windows_along(mean, axis, kernel_size, strides)
        mean = ops.mean(means, axis=-1)
        spread = ops.mean(ops.square(means - ops.expand_dims(mean, -1)), axis=-1)
        variances = windows_along(variance, axis, kernel_size, strides)
        variance = ops.mean(variances, axis=-1) + spread
    return ops.expand_dims(variance, -1)


def _is_plain_call(layer: keras.layers.Layer, compute_dtype: str) -> bool:
    """True if calling the layer does what its class says: no `call` or hook (torch) of a user's."""
    hooks = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
    return (
        "call" not in vars(layer)
        and not any(getattr(layer, hook, None) for hook in hooks)
        and not layer.activity_regularizer
        and layer.compute_dtype == compute_dtype
    )


def is_plain(token_layer: keras.layers.Layer, compute_dtype: str) -> bool:
    """True if the layer's LayerNorm and projection may be fused: they do nothing else."""
    norm, dense = token_layer.norm1, token_layer.in_proj
    return (
        all(_is_plain_call(layer, compute_dtype) for layer in (token_layer, norm, dense))
        and type(norm) is keras.layers.LayerNormalization
        and type(dense) is keras.layers.Dense
        and dense.activation is keras.activations.linear
        and not (dense.quantization_mode or dense.lora_enabled)
    )


def normalized_projection(
    feature_map: Tensor,
    norm: keras.layers.LayerNormalization,
    dense: keras.layers.Dense,
    kernel_size: int,
    strides: int,
    padding: int,
) -> Tensor:
    """Equals `dense(norm(SoftSplit(kernel_size, strides, padding)(feature_map)))`.

    Moments and the folded kernel are float32, or better, under any policy; the result has the map's
    dtype.
    """
    dtype, exact = feature_map.dtype, exact_dtype(feature_map.dtype)
    channels = feature_map.shape[-1]
    centered, inverse_variance = _standardized(ops.cast(pad_border(feature_map, padding), exact))
    variance = _window_variance(centered, kernel_size, strides)
    inverse_deviation = ops.rsqrt(variance + norm.epsilon * inverse_variance)

    with AutocastScope(None):  # else a kernel is rounded before it is folded, and once more after
        gamma, beta, weights = (ops.cast(v, exact) for v in (norm.gamma, norm.beta, dense.kernel))
        bias = ops.cast(dense.bias, exact) if dense.use_bias else 0.0
    kernel = ops.expand_dims(gamma, -1) * weights
    kernel = kernel - ops.mean(kernel, axis=0, keepdims=True)
    kernel = ops.reshape(kernel, (channels, kernel_size, kernel_size, dense.units))
    kernel = ops.cast(ops.transpose(kernel, (1, 2, 0, 3)), dtype)
    layout = {"strides": strides, "padding": "valid", "data_format": "channels_last"}
    projected = ops.conv(ops.cast(centered, dtype), kernel, **layout)
    offset = ops.matmul(ops.expand_dims(beta, 0), weights)[0] + bias
    return ops.cast(ops.cast(projected, exact) * inverse_deviation + offset, dtype)
