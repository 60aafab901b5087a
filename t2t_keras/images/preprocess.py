"""From an image to what the models take: `load_image`, then `preprocess_input`."""

import os
from typing import Any

import keras
import numpy as np
from keras import ops

from t2t_keras.errors import check
from t2t_keras.images.constants import DEFAULT_CROP_PCT, IMAGENET_MEAN, IMAGENET_STD
from t2t_keras.images.decode import read_rgb
from t2t_keras.images.resize import Size, cover_size, resize_and_crop, target_size


def load_image(
    path: str | os.PathLike, image_size: int | Size = 224, crop_pct: float = DEFAULT_CROP_PCT
) -> np.ndarray:
    """Reads one image with the evaluation preprocessing the published accuracies were made with.

    The image is resized (bicubic, antialiased, by Pillow) to cover `image_size / crop_pct`, and
    its center is cut out. Gray, transparent and turned images are read as `read_rgb` says.

    Args:
        path: A JPEG, PNG, WebP, GIF, BMP or TIFF file.
        image_size: Side of the result in pixels, or (height, width).
        crop_pct: Fraction of the resized side that the crop keeps, in (0, 1].

    Returns:
        (height, width, 3) uint8, RGB in 0..255; goes into `preprocess_input`.

    Raises:
        DataError: The file cannot be read as an image; the message names it.
        ValueError: `image_size` or `crop_pct` is out of range.
    """
    target = target_size(image_size)
    cover_size(target, crop_pct)  # a wrong argument is reported before the file is read
    return resize_and_crop(read_rgb(path), target, crop_pct)


def preprocess_input(x: Any, data_format: str | None = None) -> Any:
    """Normalizes RGB images by ImageNet's mean and deviation.

    Args:
        x: (..., H, W, 3) RGB in 0..255 of any number type, one image or a batch; a NumPy array
            or a tensor of the backend. It is not changed.
        data_format: "channels_last", "channels_first" (then (..., 3, H, W)), or None for Keras'
            own setting.

    Returns:
        float32 of the same shape: a NumPy array for a NumPy array, a tensor for a tensor.

    Raises:
        ValueError: `data_format` is neither of the two, or the channel axis is not 3 long.
    """
    data_format = data_format or keras.config.image_data_format()
    known = data_format in ("channels_last", "channels_first")
    check(known, "data_format", data_format, "'channels_last' or 'channels_first'")
    tensor = ops.is_tensor(x) or isinstance(x, keras.KerasTensor)
    x = ops.cast(x, "float32") if tensor else np.asarray(x, dtype="float32")
    axis = -1 if data_format == "channels_last" else -3
    if len(x.shape) < 3 or x.shape[axis] != 3:
        raise ValueError(
            f"`x` must be RGB images with {data_format.replace('_', ' ')}. "
            f"Received: x.shape={tuple(x.shape)}"
        )
    trailing = (1,) * (-1 - axis)
    mean = np.asarray(IMAGENET_MEAN, "float32").reshape(3, *trailing)
    std = np.asarray(IMAGENET_STD, "float32").reshape(3, *trailing)
    return (x / 255.0 - mean) / std
