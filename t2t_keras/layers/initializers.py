"""The authors' initial values, where Keras' defaults differ."""

import keras


def linear_kernel() -> keras.initializers.Initializer:
    """Normal with deviation 0.02, for every linear kernel and the class token.

    The authors' truncation bounds are -2 and 2 in absolute terms, a hundred deviations away, so
    theirs is a plain normal; Keras' `TruncatedNormal` would cut at two deviations.
    """
    return keras.initializers.RandomNormal(stddev=0.02)


def convolution_kernel() -> keras.initializers.Initializer:
    """Uniform in +-1/sqrt(fan in): torch's default, which the authors leave convolutions at."""
    return keras.initializers.VarianceScaling(1.0 / 3.0, mode="fan_in", distribution="uniform")
