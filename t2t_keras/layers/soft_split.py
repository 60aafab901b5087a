"""The soft split: overlapping windows of a feature map, as torch's `Unfold` orders them."""

from typing import Any

import keras
from keras import ops

from t2t_keras.errors import check
from t2t_keras.layers.primitives import Shape, Tensor


def split_size(size: int | None, kernel_size: int, strides: int, padding: int) -> Any:
    """Windows along a side of `size` pixels; None where the side is not known."""
    return None if size is None else (size + 2 * padding - kernel_size) // strides + 1


def check_split(kernel_size: int, strides: int, padding: int) -> None:
    """Raises a ValueError where the numbers are no window, step and border in pixels."""
    check(kernel_size >= 1, "kernel_size", kernel_size, "at least 1 pixel")
    check(strides >= 1, "strides", strides, "at least 1 pixel")
    check(padding >= 0, "padding", padding, "at least 0 pixels")


def split_shape(
    input_shape: Shape, kernel_size: int, strides: int, padding: int, channels: int
) -> Shape:
    """Shape (B, h, w, channels) of a map of that input shape after a split."""
    batch, height, width = input_shape[:3]
    sizes = [split_size(side, kernel_size, strides, padding) for side in (height, width)]
    if any(size is not None and size < 1 for size in sizes):
        raise ValueError(
            f"The image is too small for a window of {kernel_size} pixels with {padding} of "
            f"padding. Received: input_shape={tuple(input_shape)}"
        )
    return (batch, *sizes, channels)


def pad_border(feature_map: Tensor, padding: int) -> Tensor:
    """Adds `padding` pixels of zeros on each side of a (B, H, W, C) map."""
    if padding == 0:
        return feature_map
    return ops.pad(feature_map, ((0, 0), (padding, padding), (padding, padding), (0, 0)))


def windows_along(inputs: Tensor, axis: int, kernel_size: int, strides: int) -> Tensor:
    """Replaces an axis by its windows: (..., n, ...) -> (..., windows, ..., kernel_size).

    `kernel_size` strided slices: a convolution with an identity kernel is slower and does not
    convert to every export format.
    """
    count = split_size(ops.shape(inputs)[axis], kernel_size, strides, 0)
    before = (slice(None),) * axis
    slices = [
        inputs[(*before, slice(offset, offset + (count - 1) * strides + 1, strides))]
        for offset in range(kernel_size)
    ]
    return ops.stack(slices, axis=-1)


def soft_split(feature_map: Tensor, kernel_size: int, strides: int, padding: int) -> Tensor:
    """The windows that `SoftSplit` cuts: (B, H, W, C) -> (B, h, w, C * kernel_size**2)."""
    windows = pad_border(feature_map, padding)
    for axis in (1, 2):
        windows = windows_along(windows, axis, kernel_size, strides)
    _, height, width = ops.shape(windows)[:3]
    return ops.reshape(windows, (-1, height, width, feature_map.shape[-1] * kernel_size**2))


@keras.saving.register_keras_serializable(package="t2t_keras")
class SoftSplit(keras.layers.Layer):
    """Cuts a feature map into overlapping windows and lays each one out as channels.

    Args:
        kernel_size: Side of a window in pixels; at least 1.
        strides: Distance in pixels between two windows; at least 1.
        padding: Pixels of zeros added on each side of the map; at least 0.

    Call arguments:
        inputs: (B, H, W, C) feature map.

    Returns:
        (B, h, w, C * kernel_size**2) windows, channel-major (c, ky, kx) as torch orders them, with
        h = (H + 2 * padding - kernel_size) // strides + 1.

    Raises:
        ValueError: An argument is outside its range, or the map is smaller than a window.

    Reference: arXiv:2101.11986, section 3.1; official `T2T_module.soft_split0` (`nn.Unfold`).
    """

    def __init__(self, kernel_size: int, strides: int, padding: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        check_split(kernel_size, strides, padding)
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding

    def call(self, inputs: Tensor) -> Tensor:
        return soft_split(inputs, self.kernel_size, self.strides, self.padding)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        channels = input_shape[-1] * self.kernel_size**2
        return split_shape(input_shape, self.kernel_size, self.strides, self.padding, channels)

    def get_config(self) -> dict:
        config = {"kernel_size": self.kernel_size, "strides": self.strides}
        return {**super().get_config(), **config, "padding": self.padding}
