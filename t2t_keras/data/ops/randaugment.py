"""RandAugment as timm 0.3.4 does it, from its configuration string, in a graph."""

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from t2t_keras.data.ops import color as color_ops
from t2t_keras.data.ops import geometric as geometric_ops
from t2t_keras.errors import require
from t2t_keras.images.constants import MEAN_COLOR

OPS = (
    "AutoContrast", "Equalize", "Invert", "Rotate", "Posterize", "Solarize", "SolarizeAdd", "Color",
    "Contrast", "Brightness", "Sharpness", "ShearX", "ShearY", "TranslateX", "TranslateY",
)  # fmt: skip
WEIGHTS = (
    *(0.025, 0.005, 0.0, 0.3, 0.0, 0.005, 0.005, 0.025),
    *(0.005, 0.005, 0.025, 0.2, 0.2, 0.1, 0.1),
)  # of `OPS`, where the configuration says w0

_MAX_MAGNITUDE = 10.0
_PROBABILITY = 0.5  # of a drawn op to be applied
_LEAST = 1e-7  # above 0, where logarithms and the normal distribution end
_FORM = "rand-m9-n2-mstd0.5-inc1-w0"
_KEYS = {"m": "magnitude", "n": "count", "mstd": "magnitude_std", "inc": "increasing", "w": "w"}


@dataclasses.dataclass(frozen=True)
class RandAugmentConfig:
    """What RandAugment draws.

    Args:
        magnitude: Mean of the magnitudes, from 0; above 10 counts as 10.
        count: Ops an image, from 0.
        magnitude_std: Standard deviation of the magnitudes, from 0; however large, the
            distribution stays a normal one whose ends are moved to 0 and 10.
        increasing: Whether the ops grow stronger with the magnitude; where not, some go the other
            way, and the four enhancements run from 0.1 at 0 to 1.9 at 10.
        weighted: Whether ops are drawn by `WEIGHTS`, without replacement.

    Raises:
        ValueError: An argument is out of range.
    """

    magnitude: int = 10
    count: int = 2
    magnitude_std: float = 0.0
    increasing: bool = False
    weighted: bool = False

    def __post_init__(self):
        for name in ("magnitude", "count", "magnitude_std"):
            require(self, name, 0 <= getattr(self, name) < math.inf, "0 or more")
        weighted_ops = sum(weight > 0 for weight in WEIGHTS)
        if self.weighted and self.count > weighted_ops:
            raise ValueError(
                f"`count` must be 0 to {weighted_ops} where ops are drawn by weight, without "
                f"replacement. Received: count={self.count}"
            )


def parse_rand_augment(text: str) -> RandAugmentConfig:
    """Reads timm's configuration string, such as "rand-m9-mstd0.5-inc1".

    `m`, `n` and `mstd` are numbers, `inc` is 0 or 1, `w` can only be 0; sections may stand in any
    order. Stricter than timm 0.3.4, which passes over a section without a number, takes the first
    or last of two, and reads inc0 as inc1.

    Raises:
        ValueError: `text` is no such string, or a number is out of range.
    """
    head, *sections = text.split("-")
    if head != "rand":
        raise ValueError(f"RandAugment must read like {_FORM!r}. Received: {text!r}")
    values = {}
    for section in sections:
        match = re.fullmatch(r"([a-z]+)(.*)", section)
        if match is None or match[1] not in _KEYS:
            raise ValueError(
                f"RandAugment's sections are {', '.join(_KEYS)}, each with a number, as in "
                f"{_FORM!r}; {section!r} is none. Received: {text!r}"
            )
        if _KEYS[match[1]] in values:
            raise ValueError(f"RandAugment's {match[1]!r} stands there twice. Received: {text!r}")
        values[_KEYS[match[1]]] = _number(*match.groups(), text)
    if "w" in values:
        del values["w"]
        values["weighted"] = True
    return RandAugmentConfig(**values)


def _number(key: str, digits: str, text: str) -> int | float | bool:
    form, meaning = {
        "mstd": (r"\d+(\.\d*)?(e[+]?\d+)?", "a number"),
        "inc": ("[01]", "0 or 1"),
        "w": ("0", "0, the only set of weights"),
    }.get(key, (r"\d+", "a whole number"))
    if re.fullmatch(form, digits) is None:
        raise ValueError(
            f"RandAugment's {key!r} must be {meaning}; it is {digits!r}. Received: {text!r}"
        )
    return {"mstd": float, "inc": lambda digit: digit == "1"}.get(key, int)(digits)


class RandAugmentParams(NamedTuple):
    """What images draw; every field is (images, count), and (count,) for a single one."""

    op: tf.Tensor  # int32 index into `OPS`
    applied: tf.Tensor  # bool
    magnitude: tf.Tensor  # float64 in 0..10
    negative: tf.Tensor  # bool, the sign of a signed op
    bicubic: tf.Tensor  # bool, the filter of a geometric op
    amount: tf.Tensor  # float64, what the magnitude and the sign mean to the op


def sample_ops(config: RandAugmentConfig, seed: tf.Tensor, images: int) -> RandAugmentParams:
    """Samples the ops of so many images: what costs the same for a batch as for one."""
    # All numbers in one draw: an op costs more than what it computes here.
    parts = (3 * config.count, config.count, len(OPS) if config.weighted else config.count)
    draws = tf.random.stateless_uniform((images, sum(parts)), seed, _LEAST)
    choices, shares, chosen = tf.split(draws, parts, axis=1)
    if config.weighted:
        # The largest of the weights' logarithms, with Gumbel noise added, are such a draw.
        noise = -tf.math.log(-tf.math.log(chosen))
        op = tf.math.top_k(tf.math.log(tf.constant(WEIGHTS)) + noise, config.count).indices
    else:
        op = tf.cast(chosen * len(OPS), tf.int32)
    noise = tf.math.ndtri(tf.cast(shares, tf.float64))  # normal
    magnitude = config.magnitude + config.magnitude_std * noise
    magnitude = tf.clip_by_value(magnitude, 0.0, _MAX_MAGNITUDE)
    applied, negative, bicubic = tf.split(choices < _PROBABILITY, 3, axis=1)
    amount = op_amount(op, magnitude, negative, config.increasing)
    return RandAugmentParams(op, applied, magnitude, negative, bicubic, amount)


def op_amount(op: Any, magnitude: Any, negative: Any, increasing: bool) -> tf.Tensor:
    """What a magnitude means to an op, float64: degrees, bits, levels, a factor or a share.

    The arguments are those of `RandAugmentParams`, of any shape, and of `RandAugmentConfig`.
    """
    share = tf.cast(magnitude, tf.float64) / _MAX_MAGNITUDE
    signed = tf.where(negative, -share, share)
    bits, threshold = tf.floor(share * 4), tf.floor(share * 256)
    factor = 1.0 + signed * 0.9 if increasing else share * 1.8 + 0.1
    amounts = {
        "Rotate": signed * 30.0,
        "Posterize": 4 - bits if increasing else bits,
        "Solarize": 256 - threshold if increasing else threshold,
        "SolarizeAdd": tf.floor(share * 110),
        **dict.fromkeys(("Color", "Contrast", "Brightness", "Sharpness"), factor),
        **dict.fromkeys(("ShearX", "ShearY"), signed * 0.3),
        **dict.fromkeys(("TranslateX", "TranslateY"), signed * 0.45),
    }
    every = tf.stack([amounts.get(name, tf.zeros_like(share)) for name in OPS], axis=-1)
    return tf.gather(every, op, axis=-1, batch_dims=share.shape.rank)


def rand_augment(
    image: tf.Tensor, drawn: RandAugmentParams, fill: tuple[int, int, int] = MEAN_COLOR
) -> tf.Tensor:
    """Applies the ops that were drawn for an image, one after the other.

    Args:
        image: (h, w, 3) uint8.
        drawn: One row of what `sample_ops` drew.
        fill: Color of what a geometric op brings in from outside.

    Returns:
        uint8 of the same shape.

    Reference: arXiv:1909.13719; timm 0.3.4, `rand_augment_transform`.
    """
    shape = image.shape
    fields = (tf.where(drawn.applied, drawn.op, _NOTHING), drawn.amount, drawn.bicubic)
    for draws in zip(*map(tf.unstack, fields), strict=True):
        image = apply_op(image, *draws, fill)
    return tf.ensure_shape(image, shape)


_SIGNATURE = (
    tf.TensorSpec((None, None, 3), tf.uint8),
    tf.TensorSpec((), tf.float64),
    tf.TensorSpec((), tf.bool),
    tf.TensorSpec((3,), tf.uint8),
)
_FUNCTIONS: dict[str, Callable[..., tf.Tensor]] = {
    "AutoContrast": lambda image, *_: color_ops.auto_contrast(image),
    "Equalize": lambda image, *_: color_ops.equalize(image),
    "Invert": lambda image, *_: color_ops.invert(image),
    "Rotate": geometric_ops.rotate,
    "Posterize": lambda image, bits, *_: color_ops.posterize(image, tf.cast(bits, tf.int32)),
    "Solarize": lambda image, start, *_: color_ops.solarize(image, tf.cast(start, tf.int32)),
    "SolarizeAdd": lambda image, more, *_: color_ops.solarize_add(image, tf.cast(more, tf.int32)),
    "Color": lambda image, factor, *_: color_ops.color(image, tf.cast(factor, tf.float32)),
    "Contrast": lambda image, factor, *_: color_ops.contrast(image, tf.cast(factor, tf.float32)),
    "Brightness": lambda image, factor, *_: color_ops.brightness(
        image, tf.cast(factor, tf.float32)
    ),
    "Sharpness": lambda image, factor, *_: color_ops.sharpness(image, tf.cast(factor, tf.float32)),
    "ShearX": geometric_ops.shear_x,
    "ShearY": geometric_ops.shear_y,
    "TranslateX": lambda image, share, *outside: geometric_ops.translate_x(
        image, share * tf.cast(tf.shape(image)[1], tf.float64), *outside
    ),
    "TranslateY": lambda image, share, *outside: geometric_ops.translate_y(
        image, share * tf.cast(tf.shape(image)[0], tf.float64), *outside
    ),
}
_NOTHING = len(OPS)
_BRANCHES = [
    tf.function(function, input_signature=_SIGNATURE, autograph=False)
    for function in (*(_FUNCTIONS[name] for name in OPS), lambda image, *_: image)
]


# One trace for all images, layers and pipelines of a process.
@tf.function(
    input_signature=[_SIGNATURE[0], tf.TensorSpec((), tf.int32), *_SIGNATURE[1:]], autograph=False
)
def apply_op(
    image: tf.Tensor, op: tf.Tensor, amount: tf.Tensor, bicubic: tf.Tensor, fill: tf.Tensor
) -> tf.Tensor:
    """The image after the op of that index in `OPS`; arguments as in `RandAugmentParams`.

    Where there is no op of that index, the image stays as it is.
    """
    # Not `tf.switch_case`: it copies all branches into the graph around it, and TensorFlow visits
    # every op of those that are not taken, for each image.
    (changed,) = tf.raw_ops.StatelessCase(
        branch_index=op,
        input=[image, amount, bicubic, fill],
        Tout=[tf.uint8],
        branches=[branch.get_concrete_function() for branch in _BRANCHES],
    )
    return tf.ensure_shape(changed, (None, None, 3))
