"""What a model function accepts: every check comes before any work."""

import numbers

import keras

from t2t_keras.variants import Variant

MIN_SIDE = 16
_POOLINGS = (None, "token", "avg", "max")


def check_arguments(
    include_top: bool, weights, pooling: str | None, classes: int, activation, drop_rates: dict
) -> None:
    """Raises a ValueError that names the argument and what is allowed."""
    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            "T2T-ViT takes pictures as (height, width, channels): set "
            '`keras.config.set_image_data_format("channels_last")`. '
            f"Received: image_data_format={keras.config.image_data_format()}"
        )
    if pooling not in _POOLINGS:
        raise ValueError(f"`pooling` must be one of {_POOLINGS}. Received: pooling={pooling}")
    if include_top and (not isinstance(classes, numbers.Integral) or classes < 1):
        raise ValueError(
            f"`classes` must be a whole number of at least 1. Received: classes={classes}"
        )
    if include_top and weights is not None and activation not in (None, "softmax"):
        raise ValueError(
            "`classifier_activation` must be None or 'softmax' where weights are given. "
            f"Received: classifier_activation={activation}"
        )
    for name, rate in drop_rates.items():
        if not 0 <= rate < 1:
            raise ValueError(f"`{name}` must be in [0, 1). Received: {name}={rate}")


def _check_shape(shape, weights) -> None:
    if len(shape) != 3:
        raise ValueError(
            "`input_shape` must be (height, width, channels), each a number, or None for height "
            f"and width. Received: input_shape={shape}"
        )
    height, width, channels = shape
    if any(side is not None and side < MIN_SIDE for side in (height, width)):
        raise ValueError(
            f"`input_shape` must have a height and width of at least {MIN_SIDE} pixels. "
            f"Received: input_shape={shape}"
        )
    if channels is None or channels < 1:
        raise ValueError(
            "`input_shape` must end in the number of channels, 3 for colour pictures. "
            f"Received: input_shape={shape}"
        )
    if weights is not None and channels != 3:
        raise ValueError(
            "`input_shape` must have 3 channels where weights are given. "
            f"Received: input_shape={shape}"
        )


def image_tensor(input_tensor, input_shape, variant: Variant, weights):
    """The pictures' Keras tensor and what the model is called on.

    Raises:
        ValueError: The shape is none that the model takes.
    """
    if input_tensor is None:
        shape = input_shape or (variant.image_size, variant.image_size, 3)
        _check_shape(tuple(shape), weights)
        images = keras.Input(shape, name="image")
        return images, images
    if not keras.utils.is_keras_tensor(input_tensor):
        raise ValueError(
            "`input_tensor` must be a Keras tensor, such as `keras.Input(...)` gives. "
            f"Received: input_tensor={input_tensor}"
        )
    given = tuple(input_tensor.shape[1:])
    _check_shape(given, weights)
    if input_shape is not None and tuple(input_shape) != given:
        raise ValueError(
            f"`input_shape` and the shape of `input_tensor`, {given}, must be equal where both are "
            f"given. Received: input_shape={input_shape}"
        )
    return input_tensor, keras.utils.get_source_inputs(input_tensor)
