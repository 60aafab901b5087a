"""RandAugment in a graph.

Reference: arXiv:1909.13719; timm 0.3.4, `rand_augment_transform`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from t2t_keras.data.ops import color as color_ops
from t2t_keras.data.ops import geometric as geometric_ops
from t2t_keras.data.ops.graph import switch_op, traced
from t2t_keras.data.settings import RAND_AUGMENT_OPS as OPS
from t2t_keras.data.settings import RAND_AUGMENT_WEIGHTS as WEIGHTS
from t2t_keras.data.settings import RandAugmentConfig
from t2t_keras.images.constants import MEAN_COLOR

_MAX_MAGNITUDE = 10.0
_PROBABILITY = 0.5  # of a sampled op to be applied
_LEAST = 1e-7  # above 0, where logarithms and the normal distribution end


class RandAugmentParams(NamedTuple):
    """The sampled ops; every field is (images, count), and (count,) for a single image."""

    op: tf.Tensor  # int32 index into `OPS`
    applied: tf.Tensor  # bool
    bicubic: tf.Tensor  # bool, the filter of a geometric op
    amount: tf.Tensor  # float64, what the sampled magnitude and sign mean to the op


def sample_ops(config: RandAugmentConfig, seed: tf.Tensor, images: int) -> RandAugmentParams:
    """Samples the ops of so many images."""
    parts = (3 * config.count, config.count, len(OPS) if config.weighted else config.count)
    draws = tf.random.stateless_uniform((images, sum(parts)), seed, _LEAST)
    choices, normals, chosen = tf.split(draws, parts, axis=1)
    if config.weighted:
        # The largest of the weights' logarithms, with Gumbel noise added, are such a sample.
        noise = -tf.math.log(-tf.math.log(chosen))
        op = tf.math.top_k(tf.math.log(tf.constant(WEIGHTS)) + noise, config.count).indices
    else:
        op = tf.cast(chosen * len(OPS), tf.int32)
    noise = tf.math.ndtri(tf.cast(normals, tf.float64))
    magnitude = config.magnitude + config.magnitude_std * noise
    magnitude = tf.clip_by_value(magnitude, 0.0, _MAX_MAGNITUDE)
    applied, negative, bicubic = tf.split(choices < _PROBABILITY, 3, axis=1)
    amount = op_amount(op, magnitude, negative, config.increasing)
    return RandAugmentParams(op, applied, bicubic, amount)


def op_amount(op: Any, magnitude: Any, negative: Any, increasing: bool) -> tf.Tensor:
    """Turns magnitudes of any shape into degrees, bits, levels, factors or fractions, float64."""
    fraction = tf.cast(magnitude, tf.float64) / _MAX_MAGNITUDE
    signed = tf.where(negative, -fraction, fraction)
    bits, threshold = tf.floor(fraction * 4), tf.floor(fraction * 256)
    factor = 1.0 + signed * 0.9 if increasing else fraction * 1.8 + 0.1
    amounts = {
        "Rotate": signed * 30.0,
        "Posterize": 4 - bits if increasing else bits,
        "Solarize": 256 - threshold if increasing else threshold,
        "SolarizeAdd": tf.floor(fraction * 110),
        **dict.fromkeys(("Color", "Contrast", "Brightness", "Sharpness"), factor),
        **dict.fromkeys(("ShearX", "ShearY"), signed * 0.3),
        **dict.fromkeys(("TranslateX", "TranslateY"), signed * 0.45),
    }
    every = tf.stack([amounts.get(name, tf.zeros_like(fraction)) for name in OPS], axis=-1)
    return tf.gather(every, op, axis=-1, batch_dims=fraction.shape.rank)


def rand_augment(
    image: tf.Tensor, params: RandAugmentParams, fill: tuple[int, ...] = MEAN_COLOR
) -> tf.Tensor:
    """Applies one row of sampled ops; `fill` is the color of what comes from outside the image."""
    shape = image.shape
    fields = (tf.where(params.applied, params.op, _NOTHING), params.amount, params.bicubic)
    for op in zip(*map(tf.unstack, fields), strict=True):
        image = apply_op(image, *op, fill)
    return tf.ensure_shape(image, shape)


_SIGNATURE = (
    tf.TensorSpec((None, None, 3), tf.uint8),
    tf.TensorSpec((), tf.float64),
    tf.TensorSpec((), tf.bool),
    tf.TensorSpec((3,), tf.uint8),
)


def _with_amount(function: Callable, dtype: tf.DType) -> Callable[..., tf.Tensor]:
    """Adapts a color op, which needs no filter and no fill color."""
    return lambda image, amount, *_: function(image, tf.cast(amount, dtype))


_FUNCTIONS: dict[str, Callable[..., tf.Tensor]] = {
    "AutoContrast": lambda image, *_: color_ops.auto_contrast(image),
    "Equalize": lambda image, *_: color_ops.equalize(image),
    "Invert": lambda image, *_: color_ops.invert(image),
    "Rotate": geometric_ops.rotate,
    "Posterize": _with_amount(color_ops.posterize, tf.int32),
    "Solarize": _with_amount(color_ops.solarize, tf.int32),
    "SolarizeAdd": _with_amount(color_ops.solarize_add, tf.int32),
    "Color": _with_amount(color_ops.color, tf.float32),
    "Contrast": _with_amount(color_ops.contrast, tf.float32),
    "Brightness": _with_amount(color_ops.brightness, tf.float32),
    "Sharpness": _with_amount(color_ops.sharpness, tf.float32),
    "ShearX": geometric_ops.shear_x,
    "ShearY": geometric_ops.shear_y,
    "TranslateX": lambda image, fraction, *outside: geometric_ops.translate_x(
        image, fraction * tf.cast(tf.shape(image)[1], tf.float64), *outside
    ),
    "TranslateY": lambda image, fraction, *outside: geometric_ops.translate_y(
        image, fraction * tf.cast(tf.shape(image)[0], tf.float64), *outside
    ),
}
_NOTHING = len(OPS)
_BRANCHES = [
    traced(function, input_signature=_SIGNATURE)
    for function in (*(_FUNCTIONS[name] for name in OPS), lambda image, *_: image)
]


@traced(input_signature=[_SIGNATURE[0], tf.TensorSpec((), tf.int32), *_SIGNATURE[1:]])
def apply_op(
    image: tf.Tensor, op: tf.Tensor, amount: tf.Tensor, bicubic: tf.Tensor, fill: tf.Tensor
) -> tf.Tensor:
    """Applies the op of that index in `OPS`; where there is none, nothing."""
    changed = switch_op(op, _BRANCHES, [image, amount, bicubic, fill])
    return tf.ensure_shape(changed, (None, None, 3))
