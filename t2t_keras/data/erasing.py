"""Random erasing: boxes of a normalised picture are overwritten with noise or with the mean.

Reference: arXiv:1708.04896; timm 0.3.4, `RandomErasing`.
"""

import dataclasses
import math

import tensorflow as tf

from t2t_keras.data.seeds import split_seed
from t2t_keras.errors import require

ERASING_MODES = ("const", "rand", "pixel")
_TRIES = 10

Range = tuple[float, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Erasing:
    """How often pictures are erased and what of them; the defaults are the authors'.

    Args:
        probability: That a picture is erased, in [0, 1].
        mode: "const" (0, the mean colour), "rand" (one normal colour a box) or "pixel" (normal
            noise).
        area: Share of the picture's area that its boxes take together, within (0, 1].
        aspect: Height over width of a box, above 0; drawn evenly in its logarithm.
        max_count: A picture that is erased loses 1 to this many boxes.

    Raises:
        ValueError: A setting is out of range.
    """

    probability: float = 0.25
    mode: str = "pixel"
    area: Range = (0.02, 1 / 3)
    aspect: Range = (0.3, 1 / 0.3)
    max_count: int = 1

    def __post_init__(self):
        checks = {
            "probability": (0 <= self.probability <= 1, "in [0, 1]"),
            "mode": (self.mode in ERASING_MODES, f"one of {', '.join(ERASING_MODES)}"),
            "area": (0 < self.area[0] <= self.area[1] <= 1, "a range within (0, 1]"),
            "aspect": (
                0 < self.aspect[0] <= self.aspect[1] < math.inf,
                "a range of finite numbers above 0",
            ),
            "max_count": (self.max_count >= 1, "at least 1"),
        }
        for name, (holds, expected) in checks.items():
            require(self, name, holds, expected)


def erase_picture(image: tf.Tensor, settings: Erasing, seed: tf.Tensor) -> tf.Tensor:
    """Erases boxes of one picture, or leaves it as it is.

    Args:
        image: (H, W, 3) float32, normalised; H and W static.
        settings: How often and what.
        seed: (2,) int64 of the picture.

    Returns:
        (H, W, 3) float32.
    """
    erased_seed, count_seed, *box_seeds = split_seed(seed, 2 + settings.max_count)
    count = tf.random.stateless_uniform((), count_seed, 1, settings.max_count + 1, tf.int32)

    def erased():
        result = image
        for place, box_seed in enumerate(box_seeds):
            result = tf.cond(
                place < count,
                lambda before=result, drawn=box_seed: _with_box(before, settings, count, drawn),
                lambda before=result: before,
            )
        return result

    chosen = tf.random.stateless_uniform((), erased_seed) < settings.probability
    return tf.cond(chosen, erased, lambda: image)


def draw_box(settings: Erasing, height: int, width: int, count: tf.Tensor, seed: tf.Tensor):
    """Draws one of `count` boxes: of ten draws the first that is smaller than the picture.

    Returns:
        (top, left, height, width), () int32 each; height and width are 0 where no draw fits.
    """
    area_seed, aspect_seed, place_seed = split_seed(seed, 3)
    share = tf.random.stateless_uniform((_TRIES,), area_seed, *settings.area, tf.float64)
    areas = share * (height * width) / tf.cast(count, tf.float64)
    logs = map(math.log, settings.aspect)
    aspects = tf.exp(tf.random.stateless_uniform((_TRIES,), aspect_seed, *logs, tf.float64))
    heights = tf.cast(tf.round(tf.sqrt(areas * aspects)), tf.int32)
    widths = tf.cast(tf.round(tf.sqrt(areas / aspects)), tf.int32)
    fits = (heights < height) & (widths < width)
    first = tf.argmax(tf.cast(fits, tf.int32))
    box_height, box_width = (tf.where(fits[first], sides[first], 0) for sides in (heights, widths))
    shares = tf.random.stateless_uniform((2,), place_seed, dtype=tf.float64)
    spare = tf.stack([height - box_height + 1, width - box_width + 1])
    top, left = tf.unstack(tf.cast(shares * tf.cast(spare, tf.float64), tf.int32), 2)
    return top, left, box_height, box_width


def _with_box(image: tf.Tensor, settings: Erasing, count: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    box_seed, noise_seed = split_seed(seed, 2)
    top, left, height, width = draw_box(settings, *image.shape[:2], count, box_seed)
    shape = (height, width, 3)
    if settings.mode == "pixel":
        filling = tf.random.stateless_normal(shape, noise_seed)
    elif settings.mode == "rand":
        filling = tf.broadcast_to(tf.random.stateless_normal((3,), noise_seed), shape)
    else:
        filling = tf.zeros(shape)
    middle = image[top : top + height]
    row = tf.concat([middle[:, :left], filling, middle[:, left + width :]], axis=1)
    return tf.ensure_shape(
        tf.concat([image[:top], row, image[top + height :]], axis=0), image.shape
    )
