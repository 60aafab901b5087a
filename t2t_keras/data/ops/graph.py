"""Every TensorFlow trick and workaround of the input pipeline, each with its reason.

Three more are in the shape of the code: TensorFlow and XLA are fast where the last axis is long, so
pixels are reshaped to (rows, 3 * columns); an op on strided or transposed values goes value by
value, so what is scaled or sliced is laid out in rows first; and a whole batch is sampled
at once, as an op costs more than what it computes for one image.

XLA evaluates a value again in each of its uses and contracts products and sums into one rounding
(openxla/xla#41579): where rounding decides, as in a table or a place, compute it outside of
`compiled` or in integers.
"""

import functools
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

# One trace for all pipelines of a process. Conditions on tensors are written as `tf.cond`, so
# there is nothing for AutoGraph to convert, which would take seconds.
traced = functools.partial(tf.function, autograph=False)

# XLA makes one pass over the pixels of what are many ops, and compiles it once.
compiled = functools.partial(tf.function, jit_compile=True, autograph=False)

# TensorFlow copies both branches of a condition into the graph around it and visits every op of the
# one that is not taken, for each image. A large and rare branch stays a single op instead.
single_op = functools.partial(
    tf.function, autograph=False, experimental_attributes={"_noinline": True}
)


def plain_options() -> tf.data.Options:
    """No rewriting of the graph, and no tuning while it runs.

    All that can run in parallel already does, and rewriting delays every epoch's start, under a
    strategy by over a second. Tuning times every op of every image, and its thread may miss that
    its iterator was deleted: TensorFlow 2.21 then waits for its next wake-up, up to a minute, in
    about one of ten cases.
    """
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    return options


def drop_failing(examples: tf.data.Dataset) -> tf.data.Dataset:
    """Drops the elements whose computation fails.

    A TFRecord file that cannot be opened would be retried forever (tensorflow/tensorflow#25700),
    so `sources.tfds` checks the files before.
    """
    return examples.ignore_errors(log_warning=False)


def assert_op(condition: tf.Tensor, message: str, *values: tf.Tensor) -> tf.Operation:
    """`tf.debugging.Assert` without the condition it builds, a dozen ops for each image."""
    return tf.raw_ops.Assert(condition=condition, data=[message, *values])


def switch_op(index: tf.Tensor, branches: Sequence[Any], inputs: Sequence[tf.Tensor]) -> tf.Tensor:
    """Calls one of some `tf.function`s of a signature, the last if there is none of that index.

    Unlike `tf.switch_case` it does not copy all branches into the graph around it: `single_op`.
    """
    concrete = [branch.get_concrete_function() for branch in branches]
    (result,) = tf.raw_ops.StatelessCase(
        branch_index=index, input=inputs, Tout=[concrete[0].outputs[0].dtype], branches=concrete
    )
    return result


def overwrite(
    values: tf.Tensor, start: tf.Tensor, size: tf.Tensor, inserted: tf.Tensor
) -> tf.Tensor:
    """Puts `inserted` into `values` from `start`: inside a graph in the values' own memory."""
    return tf.raw_ops.TensorStridedSliceUpdate(
        input=values, begin=start, end=start + size, strides=tf.ones_like(start), value=inserted
    )


def round_to_levels(values: tf.Tensor) -> tf.Tensor:
    """Clips to 0..255 and rounds, halves up, in one pass over the values; uint8."""
    rounded = tf.raw_ops.QuantizeV2(
        input=values, min_range=0.0, max_range=255.0, T=tf.quint8, mode="MIN_COMBINED"
    )
    return tf.bitcast(rounded.output, tf.uint8)
