"""The first augmented pictures of a run, for TensorBoard: what a model sees, as people see it."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from t2t_keras.data import Colour

_SHOWN = 16


def log_first_batch(batches: tf.data.Dataset, folder: Path, mean: Colour, std: Colour) -> None:
    """Writes the first pictures as an event.

    Args:
        batches: A run's training batches, from its beginning; normalised pictures come first.
        folder: TensorBoard's.
        mean: Of each channel, in 0..1, that the pictures were normalised by.
        std: The same.
    """
    images = next(iter(batches.take(1)))[0][:_SHOWN]
    seen = np.clip(images.numpy() * std + mean, 0.0, 1.0)
    with tf.summary.create_file_writer(str(folder / "train")).as_default():
        tf.summary.image("first_batch", seen, step=0, max_outputs=_SHOWN)
