"""Every TensorFlow trick of the input pipeline, each with its reason."""

import functools

import tensorflow as tf

# Plain Python control flow everywhere it is used, so nothing to convert.
compiled = functools.partial(tf.function, jit_compile=True, autograph=False)


def plain_options() -> tf.data.Options:
    """No rewriting of the graph, and no tuning while it runs.

    What can run in parallel does already, and rewriting delays every epoch's start, under a
    strategy by over a second. Tuning times every op of every image. And the thread that tunes may
    miss that its iterator is given up: TensorFlow 2.21 then waits for the next time it wakes, up to
    a minute, in one of some ten cases.
    """
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    return options
