"""The first augmented batches of a run, for TensorBoard: what a model sees, as people see it."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from t2t_keras.data import Colour

_BATCHES = 4
_SHOWN = 16  # pictures of each


def log_first_batches(batches: tf.data.Dataset, folder: Path, mean: Colour, std: Colour) -> None:
    """Writes the first pictures of the first batches as events, one a step.

    Args:
        batches: A run's training batches, from its beginning; normalised pictures come first.
        folder: TensorBoard's.
        mean: Of each channel, in 0..1, that the pictures were normalised by.
        std: The same.
    """
    with tf.summary.create_file_writer(str(folder / "train")).as_default():
        for step, (images, *_) in enumerate(batches.take(_BATCHES)):
            seen = np.clip(images[:_SHOWN].numpy() * std + mean, 0.0, 1.0)
            tf.summary.image("first_batches", seen, step=step, max_outputs=_SHOWN)
