"""The soft split: overlapping windows of a feature map, as torch's `Unfold` orders them."""

import keras
from keras import ops


def split_size(size: int | None, kernel_size: int, strides: int, padding: int) -> int | None:
    """Windows along a side of `size` pixels; None where the side is not known."""
    return None if size is None else (size + 2 * padding - kernel_size) // strides + 1


def check_split(kernel_size: int, strides: int, padding: int) -> None:
    """Raises a ValueError where the numbers are no window, step and border in pixels."""
    if kernel_size < 1 or strides < 1:
        raise ValueError(
            "`kernel_size` and `strides` must be at least 1. "
            f"Received: kernel_size={kernel_size}, strides={strides}"
        )
    if padding < 0:
        raise ValueError(f"`padding` must be at least 0 pixels. Received: padding={padding}")


def split_shape(input_shape, kernel_size: int, strides: int, padding: int, channels: int):
    """Shape (B, h, w, channels) of a map of that input shape after a split."""
    batch, height, width = input_shape[:3]
    sizes = [split_size(side, kernel_size, strides, padding) for side in (height, width)]
    if any(size is not None and size < 1 for size in sizes):
        raise ValueError(
            f"The image is too small for a window of {kernel_size} pixels with {padding} of "
            f"padding. Received: input_shape={tuple(input_shape)}"
        )
    return (batch, *sizes, channels)


def pad_border(feature_map, padding: int):
    """Adds `padding` pixels of zeros on each side of a (B, H, W, C) map."""
    if padding == 0:
        return feature_map
    return ops.pad(feature_map, ((0, 0), (padding, padding), (padding, padding), (0, 0)))


def windows_along(inputs, axis: int, kernel_size: int, strides: int):
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

    def __init__(self, kernel_size: int, strides: int, padding: int = 0, **kwargs):
        super().__init__(**kwargs)
        check_split(kernel_size, strides, padding)
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding

    def call(self, inputs):
        windows = pad_border(inputs, self.padding)
        for axis in (1, 2):
            windows = windows_along(windows, axis, self.kernel_size, self.strides)
        _, height, width = ops.shape(windows)[:3]
        return ops.reshape(windows, (-1, height, width, inputs.shape[-1] * self.kernel_size**2))

    def compute_output_shape(self, input_shape):
        channels = input_shape[-1] * self.kernel_size**2
        return split_shape(input_shape, self.kernel_size, self.strides, self.padding, channels)

    def get_config(self):
        config = {
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
        }
        return {**super().get_config(), **config}
