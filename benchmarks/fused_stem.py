"""Times the stem as it is computed here against the same stem with unfolded windows.

    python -m benchmarks.fused_stem --batch_size=8 --rounds=5

Both run in one process, in turn, and the ratio is of each pair; the median is what counts.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import statistics
import sys
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

from t2t_keras import SoftSplit, T2TBlock
from t2t_keras.variants import STEM_SOFT_SPLITS

FLAGS = flags.FLAGS
flags.DEFINE_integer("batch_size", 8, "Images a call.", lower_bound=1)
flags.DEFINE_integer("image_size", 224, "Side of the images in pixels.", lower_bound=32)
flags.DEFINE_integer("rounds", 5, "Pairs timed, after one warm-up.", lower_bound=1)
flags.DEFINE_enum("token_type", "performer", ["performer", "transformer"], "Of the token layers.")
flags.DEFINE_boolean("jit_compile", False, "Compile both with XLA.")


def _unfolded(block: T2TBlock, feature_map):
    windows = SoftSplit(block.kernel_size, block.strides, block.padding)(feature_map)
    batch, height, width, channels = windows.shape
    tokens = block.token_layer(keras.ops.reshape(windows, (batch, height * width, channels)))
    return keras.ops.reshape(tokens, (batch, height, width, block.token_dim))


def _stem(blocks, through):
    def forward(images):
        for block in blocks:
            images = through(block, images)
        return images

    def step(images):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(forward(images)))
        variables = [variable.value for block in blocks for variable in block.trainable_variables]
        return tape.gradient(loss, variables)

    compiled = {"jit_compile": FLAGS.jit_compile}
    return {"forward": tf.function(forward, **compiled), "step": tf.function(step, **compiled)}


def _finished(function, images):
    tf.nest.map_structure(lambda tensor: tensor.numpy(), function(images))


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _compare(what: str, others: Callable, ours: Callable, rounds: int) -> None:
    """Writes the median times of both and the median of the ratios, pair by pair.

    Args:
        what: Stands before the figures.
        others: Does the work the other way; waits until its result is there.
        ours: Does it the way of this package.
        rounds: Pairs timed, after one warm-up of each.
    """
    others(), ours()
    pairs = [(_seconds(others), _seconds(ours)) for _ in range(rounds)]
    slow, fast = (1000 * statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(other / own for other, own in pairs)
    sys.stdout.write(f"{what}: other {slow:.0f} ms, ours {fast:.0f} ms, ratio {ratio:.2f}\n")
    sys.stdout.flush()


def main(_) -> None:
    blocks = [T2TBlock(64, *split, token_type=FLAGS.token_type) for split in STEM_SOFT_SPLITS[:2]]
    shape = (FLAGS.batch_size, FLAGS.image_size, FLAGS.image_size, 3)
    images = tf.constant(np.random.default_rng(0).standard_normal(shape), tf.float32)
    fused = _stem(blocks, lambda block, feature_map: block(feature_map))
    unfolded = _stem(blocks, _unfolded)
    fused["forward"](images)  # builds the blocks that both share
    for what in ("forward", "step"):
        _compare(
            f"{what}, unfolded and fused",
            lambda what=what: _finished(unfolded[what], images),
            lambda what=what: _finished(fused[what], images),
            FLAGS.rounds,
        )


if __name__ == "__main__":
    app.run(main)
