"""Settings, each described once, and those of the input pipeline; TensorFlow stays out."""

import dataclasses
import functools
import math
import numbers
import re
import types
import typing
from collections.abc import Callable
from typing import Any

from t2t_keras.errors import check

Range = tuple[float, float]

DIGITS = "digits"  # scikit-learn's, a dataset made without a network
CROPS = ("none", "light", "padded", "random_resized")
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

FRACTION = {"at_least": 0, "below": 1}
PROBABILITY = {"at_least": 0, "at_most": 1}
SHARE = {"above": 0, "at_most": 1}
_NUMBERS = {int: (numbers.Integral, "a whole number"), float: (numbers.Real, "a number")}

_FORM = "rand-m9-n2-mstd0.5-inc1-w0"
_SECTION = re.compile(  # a group is named for the field that it sets
    r"m(?P<magnitude>\d+)|n(?P<count>\d+)|mstd(?P<magnitude_std>\d+(?:\.\d*)?(?:e[+]?\d+)?)"
    "|inc(?P<increasing>[01])|w(?P<weighted>0)"
)
_READERS: dict[str, Callable[[str], Any]] = {
    "magnitude": int,
    "count": int,
    "magnitude_std": float,
    "increasing": lambda digit: digit == "1",
    "weighted": lambda digit: True,
}


def setting(default: Any, help: str, **limits: Any) -> Any:
    """A field of a dataclass of settings; `limits` are those of `Setting`."""
    return dataclasses.field(default=default, metadata={"help": help, **limits})


def same_setting(kind: type, name: str, default: Any) -> Any:
    """A field with the help and the limits of another dataclass' field."""
    (field,) = (field for field in dataclasses.fields(kind) if field.name == name)
    return dataclasses.field(default=default, metadata=field.metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """One field of a dataclass of settings, from which checks, flags and documentation derive."""

    name: str
    type: type  # `bool`, `int`, `float`, `str`, or `tuple` for several values
    optional: bool  # True where None is a value of its own
    default: Any  # None where there is none: the dataset or the model decides
    help: str  # one or two sentences, without the default
    choices: tuple[str, ...] = ()  # empty where a range or nothing limits the values
    at_least: float = -math.inf
    above: float = -math.inf
    at_most: float = math.inf
    below: float = math.inf

    @property
    def expected(self) -> str:
        """The allowed values in words, such as "in [0, 1)"; empty where any value is allowed."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.type not in _NUMBERS or self.at_least == self.above:
            return ""
        closed = self.at_least > self.above
        if self.at_most != self.below:
            opening = f"[{self.at_least}" if closed else f"({self.above}"
            closing = f"{self.at_most}]" if self.at_most < self.below else f"{self.below})"
            text = f"in {opening}, {closing}"
        else:
            text = f"at least {self.at_least}" if closed else f"above {self.above}"
            text += " and finite" if self.type is float else ""
        return f"{text}, or None" if self.optional else text

    def check(self, value: Any) -> None:
        """Raises a ValueError where a value is not allowed."""
        if self.optional and value is None:
            return
        if self.choices:
            check(value in self.choices, self.name, value, self.expected)
        elif self.type in _NUMBERS:
            kind, words = _NUMBERS[self.type]
            check(isinstance(value, kind), self.name, value, words)
            in_range = self.at_least <= value <= self.at_most and self.above < value < self.below
            check(in_range, self.name, value, self.expected)


@functools.cache
def settings_of(kind: type) -> tuple[Setting, ...]:
    """Returns every field of a dataclass of settings, in order."""
    return tuple(_setting_of(field) for field in dataclasses.fields(kind))


def _setting_of(field: dataclasses.Field) -> Setting:
    union = isinstance(field.type, types.UnionType)
    kinds = typing.get_args(field.type) if union else (field.type,)
    return Setting(
        name=field.name,
        type=typing.get_origin(kinds[0]) or kinds[0],
        optional=type(None) in kinds,
        default=None if field.default is dataclasses.MISSING else field.default,
        **field.metadata,
    )


def check_settings(instance: Any) -> None:
    """Raises a ValueError where a field of a dataclass of settings is out of range."""
    kind: type = type(instance)
    for each in settings_of(kind):
        each.check(getattr(instance, each.name))


@dataclasses.dataclass(frozen=True)
class RandAugmentConfig:
    """Strength and number of RandAugment's operations.

    Raises:
        ValueError: A setting is out of range.
    """

    magnitude: int = setting(10, "Mean of the magnitudes; above 10 counts as 10.", at_least=0)
    count: int = setting(2, "Ops an image.", at_least=0)
    magnitude_std: float = setting(
        0.0, "Standard deviation of the magnitudes; they are clipped to 0..10.", at_least=0
    )
    increasing: bool = setting(
        False,
        "True if every op grows stronger with the magnitude; otherwise some grow weaker, and the "
        "four enhancements run from 0.1 at 0 to 1.9 at 10.",
    )
    weighted: bool = setting(
        False, "True if ops are sampled by `RAND_AUGMENT_WEIGHTS`, without replacement."
    )

    def __post_init__(self) -> None:
        check_settings(self)
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
    values: dict[str, Any] = {}
    wrong = [] if head == "rand" else [head]
    for section in sections:
        match = _SECTION.fullmatch(section)
        name = (match and match.lastgroup) or ""
        if match is None or name in values:
            wrong.append(section)
        else:
            values[name] = _READERS[name](match[name])
    if wrong:
        raise ValueError(
            f"RandAugment must read like {_FORM!r}: rand, then m and n with a whole number, mstd "
            "with a number, inc0 or inc1, and w0, each at most once and in any order. "
            f"{wrong[0]!r} does not fit. Received: {text!r}"
        )
    return RandAugmentConfig(**values)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Everything a training image and its label go through, by default a crop and flips.

    Raises:
        ValueError: A setting is out of range.
    """

    crop: str = setting(
        "random_resized",
        "none (the evaluation's), light (shifts and scales, for digits), padded (shifts beyond the "
        "border, as for CIFAR) or random_resized, as for ImageNet.",
        choices=CROPS,
    )
    area: Range = setting((0.08, 1.0), "Fraction of the image's area that a random crop keeps.")
    ratio: Range = setting((3 / 4, 4 / 3), "Width over height of a random crop.")
    flip: float = setting(0.5, "Probability of mirroring left and right.", **PROBABILITY)
    rand_augment: RandAugmentConfig | None = setting(None, "RandAugment; None turns it off.")
    color_jitter: float = setting(
        0.0,
        "Range of the changes of brightness, contrast and saturation; used without RandAugment.",
        at_least=0,
    )
    erasing: float = setting(0.0, "Probability of random erasing.", **PROBABILITY)
    erasing_mode: str = setting(
        "pixel",
        "Content of the erased boxes: const (the mean), rand (one color) or pixel (noise).",
        choices=ERASING_MODES,
    )
    erasing_area: Range = setting((0.02, 1 / 3), "Fraction of the area that all boxes take.")
    erasing_aspect: Range = setting(
        (0.3, 1 / 0.3), "Height over width of a box, sampled evenly in its logarithm."
    )
    erasing_count: int = setting(
        1, "Highest number of boxes of an image that is erased; the lowest is 1.", at_least=1
    )
    mixup: float = setting(0.0, "Mixup's alpha; 0 turns it off.", at_least=0)
    cutmix: float = setting(0.0, "Cutmix's alpha; 0 turns it off.", at_least=0)
    mixup_prob: float = setting(1.0, "Probability that a batch is mixed at all.", **PROBABILITY)
    mixup_switch_prob: float = setting(
        0.5,
        "Probability that a mixed batch gets cutmix rather than mixup, where both are on.",
        **PROBABILITY,
    )
    smoothing: float = setting(
        0.0, "Label smoothing: fraction of each label spread over all classes.", **FRACTION
    )

    def __post_init__(self) -> None:
        check_settings(self)
        for name in ("area", "erasing_area"):
            low, high = getattr(self, name)
            check(0 < low <= high <= 1, name, (low, high), "a range within (0, 1]")
        for name in ("ratio", "erasing_aspect"):
            low, high = getattr(self, name)
            in_range = 0 < low <= high < math.inf
            check(in_range, name, (low, high), "a range of finite numbers above 0")


AUGMENTATIONS = {
    "none": Augmentation(crop="none", flip=0.0),
    "light": Augmentation(crop="light", flip=0.0),
    "pad_flip": Augmentation(crop="padded"),
    "crop_flip": Augmentation(),
}
