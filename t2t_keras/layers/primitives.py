"""The small parts that every layer here is made of, with the authors' settings."""

import math
import zlib
from typing import Any

import keras

Tensor = Any  # the backend's, or Keras' symbolic one
Shape = tuple[Any, ...]  # whole numbers, and None for a size that is not known yet


def linear_kernel() -> keras.initializers.Initializer:
    """Normal with deviation 0.02, for every linear kernel and the class token.

    The authors' truncation bounds are -2 and 2 in absolute terms, a hundred deviations away, so
    theirs is a plain normal; Keras' `TruncatedNormal` would cut at two deviations.
    """
    return keras.initializers.RandomNormal(stddev=0.02)


def convolution_kernel() -> keras.initializers.Initializer:
    """Uniform in +-1/sqrt(fan in): torch's default, which the authors keep for convolutions."""
    return keras.initializers.VarianceScaling(1.0 / 3.0, mode="fan_in", distribution="uniform")


def gelu(inputs: Tensor) -> Tensor:
    """Gaussian error linear unit by erf, x * Phi(x), as torch's `nn.GELU`.

    `keras.activations.gelu` is the same function, but becomes an `Erfc` on TensorFlow, which ONNX
    has no operator for; `keras.ops.gelu` is the tanh approximation by default.
    """
    # In this order LiteRT's converter recognizes the GELU; it has no operator for erf alone.
    return 0.5 * inputs * (1.0 + keras.ops.erf(inputs * math.sqrt(0.5)))


def linear(
    parent: keras.layers.Layer,
    units: int,
    name: str,
    input_shape: Shape,
    use_bias: bool = True,
    activation: str | None = None,
) -> keras.layers.Dense:
    """A built Dense layer for inputs of that shape, with the authors' initial kernel."""
    dense = keras.layers.Dense(
        units,
        activation,
        use_bias=use_bias,
        kernel_initializer=linear_kernel(),
        dtype=parent.dtype_policy,
        name=name,
    )
    dense.build(input_shape)
    return dense


def layer_norm(
    parent: keras.layers.Layer, name: str, input_shape: Shape
) -> keras.layers.LayerNormalization:
    """A built LayerNorm over the last axis, with torch's epsilon."""
    norm = keras.layers.LayerNormalization(epsilon=1e-5, dtype=parent.dtype_policy, name=name)
    norm.build(input_shape)
    return norm


def child_config(parent: keras.layers.Layer, name: str) -> dict:
    """Name, precision and seed of a layer inside another; the seed follows from both."""
    seed = None if parent.seed is None else zlib.crc32(f"{parent.seed}/{name}".encode())
    return {"seed": seed, "dtype": parent.dtype_policy, "name": name}


def dropout(parent: keras.layers.Layer, rate: float, name: str) -> keras.layers.Dropout:
    """A Dropout inside a layer that has a seed."""
    return keras.layers.Dropout(rate, **child_config(parent, name))


@keras.saving.register_keras_serializable(package="t2t_keras")
class StochasticDepth(keras.layers.Dropout):
    """Drops the whole branch of a sample and scales the others' by 1 / (1 - drop_path_rate).

    Args:
        drop_path_rate: Fraction of the samples dropped, in [0, 1).
        seed: Seed of the random masks; None picks one.

    Call arguments:
        inputs: (B, N, D) tokens of a residual branch.

    Returns:
        (B, N, D) tokens; unchanged outside training.

    Reference: arXiv:1603.09382; official `timm.models.layers.DropPath`.
    """

    def __init__(self, drop_path_rate: float, seed: int | None = None, **kwargs: Any):
        super().__init__(drop_path_rate, noise_shape=(None, 1, 1), seed=seed, **kwargs)

    def get_config(self) -> dict:
        config = super().get_config()
        del config["noise_shape"]
        config["drop_path_rate"] = config.pop("rate")
        return config
