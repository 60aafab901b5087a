"""Colour jitter as timm 0.3.4 asks torchvision for it, in a graph; without its hue."""

import tensorflow as tf

from t2t_keras.data import colour_ops
from t2t_keras.data.seeds import split_seed

Strengths = tuple[float, float, float]


def jitter_strengths(strength: float | Strengths) -> Strengths:
    """Of brightness, contrast and saturation: one number for all three, or one each.

    Raises:
        ValueError: A number is below 0, or there are not three.
    """
    strengths = (strength,) * 3 if isinstance(strength, int | float) else tuple(strength)
    if len(strengths) != 3 or not all(value >= 0 for value in strengths):
        raise ValueError(
            "`strength` must be one number from 0 on, or three: of brightness, contrast and "
            f"saturation; hue is not offered. Received: strength={strength}"
        )
    return strengths


def draw_jitter(strength: float | Strengths, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws the jitter of one picture from its stateless seed.

    Returns:
        The order of brightness (0), contrast (1) and saturation (2), (3,) int32; and the factor of
        each, float32 (3,), uniform in [max(0, 1 - strength), 1 + strength].
    """
    order_seed, factor_seed = split_seed(seed, 2)
    order = tf.argsort(tf.random.stateless_uniform((3,), order_seed))
    strengths = jitter_strengths(strength)
    lowest = [max(0.0, 1.0 - value) for value in strengths]
    highest = [1.0 + value for value in strengths]
    return order, tf.random.stateless_uniform((3,), factor_seed, lowest, highest)


def colour_jitter(image: tf.Tensor, strength: float | Strengths, seed: tf.Tensor) -> tf.Tensor:
    """Changes brightness, contrast and saturation, each by a random factor, in random order.

    Args:
        image: (h, w, 3) uint8.
        strength: Of all three, or of each; 0.4 is timm's.
        seed: Stateless seed of this picture.

    Returns:
        uint8 of the same shape.

    Raises:
        ValueError: `strength` is out of range.

    Reference: torchvision's `ColorJitter` on Pillow's pictures; timm 0.3.4 uses it where neither
    RandAugment nor AutoAugment is on.
    """
    order, factors = draw_jitter(strength, seed)
    shape = image.shape
    for which in tf.unstack(order):
        image = _changed(image, which, factors[which])
    return tf.ensure_shape(image, shape)


@tf.function(
    input_signature=[
        tf.TensorSpec((None, None, 3), tf.uint8),
        tf.TensorSpec((), tf.int32),
        tf.TensorSpec((), tf.float32),
    ],
    autograph=False,
)
def _changed(image, which, factor):
    return tf.switch_case(
        which,
        [
            lambda: colour_ops.brightness(image, factor),
            lambda: colour_ops.contrast(image, factor),
            lambda: colour_ops.color(image, factor),
        ],
    )
