"""Parts of a graph that cost nothing where they are not run."""

import functools

import tensorflow as tf

# TensorFlow copies the branches of a condition into the graph around it, and visits every op of
# the branch that is not taken, for each picture. A function marked so stays one op there.
apart = functools.partial(tf.function, autograph=False, experimental_attributes={"_noinline": True})
