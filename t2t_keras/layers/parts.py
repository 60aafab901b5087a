"""The Keras layers that ours are made of, with the authors' settings and the parent's policy."""

import keras

from t2t_keras.layers.initializers import linear_kernel
from t2t_keras.layers.seeds import child_seed


def linear(
    parent: keras.layers.Layer,
    units: int,
    name: str,
    input_shape,
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


def layer_norm(parent: keras.layers.Layer, name: str, input_shape):
    """A built LayerNorm over the last axis, with torch's epsilon."""
    norm = keras.layers.LayerNormalization(epsilon=1e-5, dtype=parent.dtype_policy, name=name)
    norm.build(input_shape)
    return norm


def dropout(parent: keras.layers.Layer, rate: float, name: str) -> keras.layers.Dropout:
    """A Dropout whose seed comes from its parent's and its own name."""
    seed = child_seed(parent.seed, name)
    return keras.layers.Dropout(rate, seed=seed, dtype=parent.dtype_policy, name=name)
