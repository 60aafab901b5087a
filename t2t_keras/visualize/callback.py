"""Attention of a model while it learns, in TensorBoard."""

import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from t2t_keras.errors import check
from t2t_keras.images.constants import IMAGENET_MEAN, IMAGENET_STD, check_colors
from t2t_keras.models.structure import parts_of
from t2t_keras.visualize.attention import class_attention
from t2t_keras.visualize.forward import attending_name
from t2t_keras.visualize.maps import to_pixels
from t2t_keras.visualize.plot_maps import overlay

_GAP = 4  # white pixels between an image and its overlay


class AttentionImages(keras.callbacks.Callback):
    """Writes a few images and the class token's attention over them after an epoch.

    Args:
        images: (B, H, W, 3) uint8, RGB: a few images that are not trained on, of any size.
        log_dir: TensorBoard's folder; events go into "attention" in it.
        block: Name or number of the encoder block; the mean of its heads is shown.
        every: Epochs from one event to the next; at least 1. The first epoch has one.
        mean: Mean of each channel, in 0..1, that the model's images are normalized by; default
            ImageNet's. `t2t_keras.images` has CIFAR's too.
        std: Standard deviation of each channel, in 0..1, above 0.

    Raises:
        ValueError: An argument is none of these; when training begins: the model is not of this
            package, or the block has no attention.
    """

    def __init__(
        self,
        images: np.ndarray,
        log_dir: str | os.PathLike,
        block: int | str = -1,
        every: int = 1,
        *,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ):
        super().__init__()
        images = np.asarray(images)
        rgb = images.ndim == 4 and images.shape[-1] == 3 and images.dtype == np.uint8
        received = f"{images.dtype} of shape {images.shape}"
        check(rgb and len(images) > 0, "images", received, "RGB as bytes, (B, H, W, 3) uint8")
        check(every >= 1, "every", every, "at least 1")
        check_colors(mean, std)
        self.images = images
        self.log_dir = os.path.join(os.fspath(log_dir), "attention")
        self.block = block
        self.every = every
        self.mean = np.asarray(mean, np.float32)
        self.std = np.asarray(std, np.float32)
        self._writer: Any = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        import tensorflow as tf  # writes the events, whatever backend trains

        attending_name(parts_of(self.model), self.block)
        self._writer = tf.summary.create_file_writer(self.log_dir)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if epoch % self.every:
            return
        import tensorflow as tf

        with self._writer.as_default():
            tf.summary.image("attention", self._images(), step=epoch, max_outputs=len(self.images))
        self._writer.flush()

    def on_train_end(self, logs: dict | None = None) -> None:
        self._writer.close()

    def _images(self) -> np.ndarray:
        """(B, H, 2 * W + gap, 3) uint8: each image beside its overlay."""
        pixels = (self.images / np.float32(255) - self.mean) / self.std
        weights = class_attention(self.model, pixels, [self.block])
        size = self.images.shape[1:3]
        heats = to_pixels(self.model, weights[:, 0].mean(axis=1), self.block, size)
        overlays = np.stack(list(map(overlay, self.images, heats)))
        gaps = np.full((len(heats), size[0], _GAP, 3), 255, np.uint8)
        return np.concatenate([self.images, gaps, overlays], axis=2)
