"""Graph code that XLA compiles, once for every size it meets."""

import functools

import tensorflow as tf

# Plain Python control flow everywhere it is used, so nothing to convert.
compiled = functools.partial(tf.function, jit_compile=True, autograph=False)
