"""Everything that can be set about the input pipeline, checked without TensorFlow."""

import dataclasses
import math
import re

from t2t_keras.errors import check

Range = tuple[float, float]

CROPS = ("none", "light", "padded", "random_resized")
CROP_AREA: Range = (0.08, 1.0)  # fraction of the image's area
CROP_RATIO: Range = (3 / 4, 4 / 3)  # width over height
ERASING_MODES = ("const", "rand", "pixel")
ON_BAD_IMAGE = ("stop", "skip")

RAND_AUGMENT_OPS = (
    "AutoContrast", "Equalize", "Invert", "Rotate", "Posterize", "Solarize", "SolarizeAdd", "Color",
    "Contrast", "Brightness", "Sharpness", "ShearX", "ShearY", "TranslateX", "TranslateY",
)  # fmt: skip
RAND_AUGMENT_WEIGHTS = (
    *(0.025, 0.005, 0.0, 0.3, 0.0, 0.005, 0.005, 0.025),
    *(0.005, 0.005, 0.025, 0.2, 0.2, 0.1, 0.1),
)  # of the ops, where the configuration says w0

_FORM = "rand-m9-n2-mstd0.5-inc1-w0"
# Key -> field, form of its number, the form in words, and what reads it.
_SECTIONS = {
    "m": ("magnitude", r"\d+", "a whole number", int),
    "n": ("count", r"\d+", "a whole number", int),
    "mstd": ("magnitude_std", r"\d+(\.\d*)?(e[+]?\d+)?", "a number", float),
    "inc": ("increasing", "[01]", "0 or 1", lambda digit: digit == "1"),
    "w": ("weighted", "0", "0, the only set of weights", lambda digit: True),
}


@dataclasses.dataclass(frozen=True)
class RandAugmentConfig:
    """Strength and number of RandAugment's operations.

    Args:
        magnitude: Mean of the magnitudes, from 0; above 10 counts as 10.
        count: Ops an image, from 0.
        magnitude_std: Standard deviation of the magnitudes, from 0; they are clipped to 0..10.
        increasing: True if every op grows stronger with the magnitude; otherwise some grow weaker,
            and the four enhancements run from 0.1 at 0 to 1.9 at 10.
        weighted: True if ops are sampled by `RAND_AUGMENT_WEIGHTS`, without replacement.

    Raises:
        ValueError: An argument is out of range.
    """

    magnitude: int = 10
    count: int = 2
    magnitude_std: float = 0.0
    increasing: bool = False
    weighted: bool = False

    def __post_init__(self) -> None:
        for name in ("magnitude", "count", "magnitude_std"):
            value = getattr(self, name)
            check(0 <= value < math.inf, name, value, "0 or more")
        most = sum(weight > 0 for weight in RAND_AUGMENT_WEIGHTS) if self.weighted else self.count
        expected = f"0 to {most} where ops are sampled by weight, without replacement"
        check(self.count <= most, "count", self.count, expected)


def parse_rand_augment(text: str) -> RandAugmentConfig:
    """Reads timm's configuration string, such as "rand-m9-mstd0.5-inc1".

    `m`, `n` and `mstd` are numbers, `inc` is 0 or 1, `w` can only be 0; sections may come in any
    order. Stricter than timm 0.3.4, which skips a section without a number, takes the first or
    last of two, and reads inc0 as inc1.

    Raises:
        ValueError: `text` is no such string, or a number is out of range.
    """
    head, *sections = text.split("-")
    if head != "rand":
        raise ValueError(f"RandAugment must read like {_FORM!r}. Received: {text!r}")
    values = {}
    for section in sections:
        match = re.fullmatch(r"([a-z]+)(.*)", section)
        if match is None or match[1] not in _SECTIONS:
            raise ValueError(
                f"RandAugment's sections are {', '.join(_SECTIONS)}, each with a number, as in "
                f"{_FORM!r}; {section!r} is none. Received: {text!r}"
            )
        key, digits = match.groups()
        field, form, expected, read = _SECTIONS[key]
        if field in values:
            raise ValueError(f"RandAugment's {key!r} is given twice. Received: {text!r}")
        if re.fullmatch(form, digits) is None:
            raise ValueError(
                f"RandAugment's {key!r} must be {expected}; it is {digits!r}. Received: {text!r}"
            )
        values[field] = read(digits)
    return RandAugmentConfig(**values)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixupConfig:
    """Frequency and strength of mixup and cutmix; the defaults are the authors'.

    Args:
        mixup_alpha: Mixup's weight is sampled from Beta(alpha, alpha); 0 turns mixup off.
        cutmix_alpha: Cutmix's weight likewise; 0 turns cutmix off.
        probability: Probability that a batch is mixed at all, in [0, 1].
        switch_probability: Probability that a mixed batch gets cutmix, in [0, 1]; only used where
            neither alpha is 0.

    Raises:
        ValueError: A setting is out of range, or both alphas are 0.
    """

    mixup_alpha: float = 0.8
    cutmix_alpha: float = 1.0
    probability: float = 1.0
    switch_probability: float = 0.5

    def __post_init__(self) -> None:
        for name in ("mixup_alpha", "cutmix_alpha"):
            value = getattr(self, name)
            check(0 <= value < math.inf, name, value, "at least 0 and finite")
        if self.mixup_alpha == self.cutmix_alpha == 0:
            raise ValueError(
                "`mixup_alpha` or `cutmix_alpha` must be above 0; leave mixing out to mix nothing. "
                "Received: mixup_alpha=0, cutmix_alpha=0"
            )
        for name in ("probability", "switch_probability"):
            value = getattr(self, name)
            check(0 <= value <= 1, name, value, "in [0, 1]")

    @property
    def cutmix_probability(self) -> float:
        """Probability that a mixed batch gets cutmix."""
        if self.mixup_alpha and self.cutmix_alpha:
            return self.switch_probability
        return float(self.cutmix_alpha > 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomErasingConfig:
    """Frequency, shape and filling of random erasing; the defaults are the authors'.

    Args:
        probability: Probability that an image is erased, in [0, 1].
        mode: "const" (0, the mean color), "rand" (one normal color a box) or "pixel" (normal
            noise).
        area: Fraction of the image's area that its boxes take together, within (0, 1].
        aspect: Height over width of a box, above 0; sampled evenly in its logarithm.
        max_count: An image that is erased loses 1 to this many boxes.

    Raises:
        ValueError: A setting is out of range.
    """

    probability: float = 0.25
    mode: str = "pixel"
    area: Range = (0.02, 1 / 3)
    aspect: Range = (0.3, 1 / 0.3)
    max_count: int = 1

    def __post_init__(self) -> None:
        check(0 <= self.probability <= 1, "probability", self.probability, "in [0, 1]")
        check(self.mode in ERASING_MODES, "mode", self.mode, f"one of {', '.join(ERASING_MODES)}")
        _check_area("area", self.area)
        _check_ratio("aspect", self.aspect)
        check(self.max_count >= 1, "max_count", self.max_count, "at least 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Everything a training image and its label go through.

    Args:
        crop: "none" (the evaluation's), "light" (shifts and scales, for digits), "padded" (shifts
            beyond the border, as for CIFAR) or "random_resized", as for ImageNet.
        area: Fraction of the image's area that a random resized crop keeps, within (0, 1].
        ratio: Width over height of a random resized crop, above 0.
        flip: Probability of mirroring left and right, in [0, 1].
        rand_augment: RandAugment's settings; None turns it off.
        color_jitter: Range of the changes of brightness, contrast and saturation, at least 0;
            only used without `rand_augment`.
        mixing: Mixup and cutmix; None turns both off.
        erasing: Random erasing; None turns it off.
        smoothing: Fraction of each label that is spread evenly over all classes, in [0, 1).

    Raises:
        ValueError: A setting is out of range.
    """

    crop: str = "random_resized"
    area: Range = CROP_AREA
    ratio: Range = CROP_RATIO
    flip: float = 0.5
    rand_augment: RandAugmentConfig | None = None
    color_jitter: float = 0.0
    mixing: MixupConfig | None = None
    erasing: RandomErasingConfig | None = None
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        check(self.crop in CROPS, "crop", self.crop, f"one of {', '.join(CROPS)}")
        _check_area("area", self.area)
        _check_ratio("ratio", self.ratio)
        check(0 <= self.flip <= 1, "flip", self.flip, "in [0, 1]")
        jitter = self.color_jitter
        check(0 <= jitter < math.inf, "color_jitter", jitter, "at least 0 and finite")
        check(0 <= self.smoothing < 1, "smoothing", self.smoothing, "in [0, 1)")


def _check_area(name: str, area: Range) -> None:
    check(0 < area[0] <= area[1] <= 1, name, area, "a range within (0, 1]")


def _check_ratio(name: str, ratio: Range) -> None:
    check(0 < ratio[0] <= ratio[1] < math.inf, name, ratio, "a range of finite numbers above 0")


AUGMENTATIONS = {
    "none": Augmentation(crop="none", flip=0.0),
    "light": Augmentation(crop="light", flip=0.0),
    "pad_flip": Augmentation(crop="padded"),
    "crop_flip": Augmentation(),
}
