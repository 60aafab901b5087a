"""How images become what a model takes: the settings that go into an exported graph."""

import dataclasses

import keras

from t2t_keras.data.ops.normalize import Color
from t2t_keras.errors import require
from t2t_keras.images.constants import DEFAULT_CROP_PCT, IMAGENET_MEAN, IMAGENET_STD
from t2t_keras.images.resize import Size, target_size


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """The evaluation preprocessing that a model was trained for.

    Args:
        image_size: Side in pixels, or (height, width), that images are resized to and cropped;
            None is the model's own.
        crop_pct: Fraction of the resized side that the crop keeps, in (0, 1].
        mean: Of each channel, in 0..1.
        std: Of each channel, in 0..1, above 0.

    Raises:
        ValueError: A setting is out of range.
    """

    image_size: int | Size | None = None
    crop_pct: float = DEFAULT_CROP_PCT
    mean: Color = IMAGENET_MEAN
    std: Color = IMAGENET_STD

    def __post_init__(self):
        if self.image_size is not None:
            object.__setattr__(self, "image_size", target_size(self.image_size))
        require(self, "crop_pct", 0 < self.crop_pct <= 1, "in (0, 1]")
        require(self, "mean", _in_range(self.mean, 0), "three numbers in 0..1")
        require(self, "std", _in_range(self.std, 1e-6), "three numbers in 0..1, above 0")

    def for_model(self, model: keras.Model) -> "Preprocessing":
        """The same with the image size known.

        Raises:
            ValueError: The model's size is open and none was given, or is another one.
        """
        size = model.input_shape[1:3]
        if None in size:
            if self.image_size is None:
                raise ValueError(
                    "`image_size` must be given for a model that takes images of any size: "
                    "encoded images are resized to it. Received: image_size=None"
                )
            return self
        if self.image_size not in (None, size):
            raise ValueError(
                f"`image_size` must be the model's own, {size[0]}x{size[1]}, or left out. "
                f"Received: image_size={self.image_size}"
            )
        return dataclasses.replace(self, image_size=size)


def _in_range(color: Color, least: float) -> bool:
    return len(color) == 3 and all(least <= channel <= 1 for channel in color)
