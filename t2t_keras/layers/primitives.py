"""The small parts that every layer here is made of, with the authors' settings."""

import math
import types
import zlib
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

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


def exact_dtype(dtype: str) -> str:
    """The type for sums that lose too much in 16 bits: at least float32."""
    return keras.backend.result_type(dtype, "float32")


def gelu(inputs: Tensor) -> Tensor:
    """Gaussian error linear unit by erf, x * Phi(x), as torch's `nn.GELU`.

    `keras.activations.gelu` is the same function, but becomes an `Erfc` on TensorFlow, which ONNX
    has no operator for; `keras.ops.gelu` is the tanh approximation by default.
    """
    # In this order LiteRT's converter recognizes the GELU; it has no operator for erf alone.
    return 0.5 * inputs * (1.0 + ops.erf(inputs * math.sqrt(0.5)))


def layer_norm(name: str, dtype: Any = None) -> keras.layers.LayerNormalization:
    """LayerNorm over the last axis, with torch's epsilon."""
    axis = [-1]  # what Keras makes of its default, -1, when it builds the layer
    return keras.layers.LayerNormalization(axis, epsilon=1e-5, dtype=dtype, name=name)


def per_token(function: Callable[[Tensor], Tensor], tokens: Tensor) -> Tensor:
    """Applies a function of (B * N, D) vectors to (B, N, D) tokens.

    In two dimensions TensorFlow computes a linear layer, its bias and GELU in one op.
    """
    outputs = function(ops.reshape(tokens, (-1, tokens.shape[-1])))
    return ops.reshape(outputs, (-1, ops.shape(tokens)[1], outputs.shape[-1]))


class Composite(keras.layers.Layer):
    """Base of the layers made of layers, from tokens to tokens of the same shape.

    A layer inside follows this one's `trainable` and precision. What users set on it alone
    (`trainable`, a rate, a regularizer, LoRA, quantization) becomes part of this layer's config, so
    that files, JSON and clones keep it.
    """

    def __init__(self, *, children: dict | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        # Configs by name. Not in two dicts: Keras and TensorFlow track those.
        self._children = types.SimpleNamespace(made={}, changes=children or {})

    def child(self, layer: keras.layers.Layer, input_shape: Shape | None = None) -> Any:
        """The layer, with its users' changes, built; to become the attribute of its name."""
        layer.trainable = self.trainable
        made = self._children.made[layer.name] = layer.get_config()
        if layer.name in self._children.changes:
            layer = type(layer).from_config({**made, **self._children.changes[layer.name]})
        if not layer.built:
            layer.build(input_shape)
        return layer

    def child_config(self, name: str) -> dict:
        """Name, precision and seed of a layer inside; the seed follows from this layer's."""
        seed = None if self.seed is None else zlib.crc32(f"{self.seed}/{name}".encode())
        return {"seed": seed, "dtype": self.dtype_policy, "name": name}

    def dense(self, name: str, units: int, input_shape: Shape, **kwargs: Any) -> keras.layers.Dense:
        """A Dense layer inside, with the authors' initial kernel."""
        config = {"kernel_initializer": linear_kernel(), "dtype": self.dtype_policy, "name": name}
        return self.child(keras.layers.Dense(units, **config, **kwargs), input_shape)

    def layer_norm(self, name: str, input_shape: Shape) -> keras.layers.LayerNormalization:
        """A LayerNorm inside."""
        return self.child(layer_norm(name, self.dtype_policy), input_shape)

    def dropout(self, name: str, rate: float) -> keras.layers.Dropout:
        """A Dropout inside a layer that has a seed."""
        return self.child(keras.layers.Dropout(rate, **self.child_config(name)))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict:
        config = super().get_config()
        changes = {} if self.built else dict(self._children.changes)
        for name, made in self._children.made.items():
            made = {**made, "trainable": config["trainable"], "dtype": config["dtype"]}
            now = getattr(self, name).get_config().items()
            changed = {key: value for key, value in now if key not in made or made[key] != value}
            changes |= {name: changed} if changed else {}
        return {**config, "children": changes} if changes else config


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
