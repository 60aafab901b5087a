"""The preprocessing that goes into an exported graph, and the check that it fits its model."""

import dataclasses
from typing import cast

import keras

from t2t_keras.errors import check
from t2t_keras.images.constants import (
    DEFAULT_CROP_PCT,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Color,
    check_colors,
)
from t2t_keras.images.resize import Size, target_size


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """The evaluation preprocessing that a model was trained for.

    Args:
        image_size: Side in pixels, or (height, width), that images are resized to and cropped;
            None is the model's own.
        crop_pct: Fraction of the resized side that the crop keeps, in (0, 1].
        mean: Mean of each channel, in 0..1.
        std: Standard deviation of each channel, in 0..1, above 0.

    Raises:
        ValueError: A setting is out of range.
    """

    image_size: int | Size | None = None
    crop_pct: float = DEFAULT_CROP_PCT
    mean: Color = IMAGENET_MEAN
    std: Color = IMAGENET_STD

    def __post_init__(self) -> None:
        if self.image_size is not None:
            object.__setattr__(self, "image_size", target_size(self.image_size))
        check(0 < self.crop_pct <= 1, "crop_pct", self.crop_pct, "in (0, 1]")
        check_colors(self.mean, self.std)

    @property
    def size(self) -> Size:
        """(height, width) in pixels, known after `for_model`."""
        return cast(Size, self.image_size)

    def for_model(self, model: keras.Model) -> "Preprocessing":
        """Returns the same with the image size known.

        Args:
            model: A model; one for images of any size needs an `image_size` here.

        Raises:
            ValueError: The image size is missing, or is not the model's.
        """
        size, given = model.input_shape[1:3], self.image_size
        if None in size:
            expected = "given for a model that takes images of any size: files are resized to it"
            check(given is not None, "image_size", given, expected)
            return self
        expected = f"the model's own, {size[0]}x{size[1]}, or left out"
        check(given in (None, size), "image_size", given, expected)
        return dataclasses.replace(self, image_size=size)
