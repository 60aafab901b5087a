"""The constants of the evaluation preprocessing: channel means, deviations and the crop."""

from collections.abc import Sequence

from t2t_keras.errors import check

Color = tuple[float, float, float]  # a number of each channel

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of RGB in 0..1
IMAGENET_STD = (0.229, 0.224, 0.225)

CIFAR_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR_STD = (0.2023, 0.1994, 0.2010)

# Whose channel means and deviations images are normalized by.
STATISTICS = {"imagenet": (IMAGENET_MEAN, IMAGENET_STD), "cifar": (CIFAR_MEAN, CIFAR_STD)}

DEFAULT_CROP_PCT = 0.9

# Shown where an image is transparent.
MEAN_COLOR = tuple(round(255 * mean) for mean in IMAGENET_MEAN)
# An image that declares more is refused before it is decoded. Pillow takes minutes for long rows.
MAX_PIXELS = 64_000_000
MAX_SIDE = 65_535


def check_colors(mean: Sequence[float], std: Sequence[float]) -> None:
    """Raises a ValueError unless images can be normalized by these means and deviations."""
    for name, color, least in (("mean", mean, 0), ("std", std, 1e-6)):
        in_range = len(color) == 3 and all(least <= channel <= 1 for channel in color)
        check(in_range, name, color, "three numbers in 0..1" + ", above 0" * (name == "std"))
