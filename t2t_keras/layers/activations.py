"""The exact GELU, built from operations that every export format knows."""

import math

import keras


def gelu(inputs):
    """Gaussian error linear unit by erf, x * Phi(x), as torch's `nn.GELU`.

    `keras.activations.gelu` is the same function, but becomes an `Erfc` on TensorFlow, which ONNX
    has no operator for; `keras.ops.gelu` is the tanh approximation by default.

    Args:
        inputs: Tensor of any shape, floating point.

    Returns:
        A tensor of the same shape and dtype.
    """
    # In this order LiteRT's converter knows it for the GELU; it has no operator for erf alone.
    return 0.5 * inputs * (1.0 + keras.ops.erf(inputs * math.sqrt(0.5)))
