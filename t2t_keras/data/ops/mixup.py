"""Mixup and cutmix: every image of a batch mixed with the one as far from the batch's other end.

One draw holds for the whole batch, as in the authors' training.

Reference: arXiv:1710.09412 and arXiv:1905.04899; timm 0.3.4, `FastCollateMixup` in "batch" mode.
"""

import dataclasses
import math
from typing import NamedTuple

import tensorflow as tf

from t2t_keras.data.ops.seeds import split_seed
from t2t_keras.errors import require


def soft_targets(labels: tf.Tensor, classes: int, smoothing: float = 0.0) -> tf.Tensor:
    """Makes class probabilities of labels.

    Args:
        labels: (B,) integers below `classes`.
        classes: Number of classes.
        smoothing: Fraction of each target that is spread evenly over all classes, in [0, 1).

    Returns:
        (B, classes) float32; each row sums to 1.
    """
    off = smoothing / classes
    return tf.one_hot(labels, classes, on_value=1.0 - smoothing + off, off_value=off)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixupConfig:
    """How often and how strongly batches are mixed; the defaults are the authors'.

    Args:
        mixup_alpha: Mixup's share is drawn from Beta(alpha, alpha); 0 leaves mixup out.
        cutmix_alpha: Cutmix's share likewise; 0 leaves cutmix out.
        probability: That a batch is mixed at all, in [0, 1].
        switch_probability: That a mixed batch gets cutmix, in [0, 1]; only used where neither alpha
            is 0.

    Raises:
        ValueError: A setting is out of range, or both alphas are 0.
    """

    mixup_alpha: float = 0.8
    cutmix_alpha: float = 1.0
    probability: float = 1.0
    switch_probability: float = 0.5

    def __post_init__(self):
        for name in ("mixup_alpha", "cutmix_alpha"):
            holds = 0 <= getattr(self, name) < math.inf
            require(self, name, holds, "at least 0 and finite")
        if self.mixup_alpha == self.cutmix_alpha == 0:
            raise ValueError(
                "`mixup_alpha` or `cutmix_alpha` must be above 0; leave mixing out to mix nothing. "
                "Received: mixup_alpha=0, cutmix_alpha=0"
            )
        for name in ("probability", "switch_probability"):
            require(self, name, 0 <= getattr(self, name) <= 1, "in [0, 1]")

    @property
    def cutmix_share(self) -> float:
        """The share of the mixed batches that get cutmix."""
        if self.mixup_alpha and self.cutmix_alpha:
            return self.switch_probability
        return float(self.cutmix_alpha > 0)


class Mix(NamedTuple):
    """One batch's draw.

    Attributes:
        own: () float64, what is left of each image, and the weight of its label; 1 where nothing
            is mixed.
        cut: () bool, whether it is cutmix.
        box: (top, left, height, width), () int32 each: what cutmix replaces.
    """

    own: tf.Tensor
    cut: tf.Tensor
    box: tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]


def sample_mix(settings: MixupConfig, height: int, width: int, seed: tf.Tensor) -> Mix:
    """Samples how to mix a batch of images of this size."""
    mixed_seed, cut_seed, share_seed, place_seed = split_seed(seed, 4)
    mixed = tf.random.stateless_uniform((), mixed_seed) < settings.probability
    cut = tf.random.stateless_uniform((), cut_seed) < settings.cutmix_share
    cut &= mixed
    # The other alpha may be 0: a stand-in that is never used keeps the draw finite.
    alphas = [alpha or 1.0 for alpha in (settings.cutmix_alpha, settings.mixup_alpha)]
    share = symmetric_beta(tf.where(cut, *(tf.constant(a, tf.float64) for a in alphas)), share_seed)
    own = tf.where(mixed, share, 1.0)
    box = _cut_box(own, height, width, place_seed)
    uncut = 1 - tf.cast(box[2] * box[3], tf.float64) / (height * width)
    return Mix(tf.where(cut, uncut, own), cut, box)


def symmetric_beta(alpha: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Samples from Beta(alpha, alpha).

    Args:
        alpha: () float64, above 0.
        seed: (2,) int64.

    Returns:
        () float64 in [0, 1].
    """
    gamma_seed, power_seed = split_seed(seed, 2)
    # G(a) = G(a + 1) U^(1/a). In logarithms no draw of a small alpha is lost to underflow.
    gammas = tf.random.stateless_gamma((2,), gamma_seed, alpha + 1, dtype=tf.float64)
    powers = tf.random.stateless_uniform((2,), power_seed, dtype=tf.float64)
    logs = tf.math.log(gammas) + tf.math.log(powers) / alpha
    return tf.sigmoid(logs[0] - logs[1])


def mix_pixels(images: tf.Tensor, partners: tf.Tensor, mix: Mix) -> tf.Tensor:
    """Mixes images with their partners, in whole levels with ties rounded to even.

    Args:
        images: (..., H, W, 3) uint8.
        partners: Of the same shape.
        mix: What `sample_mix` drew for H and W.

    Returns:
        (..., H, W, 3) uint8.
    """
    return tf.cast(mix_levels(images, partners, mix), tf.uint8)


def mix_levels(images: tf.Tensor, partners: tf.Tensor, mix: Mix) -> tf.Tensor:
    """`mix_pixels` in float32: XLA is slow at making bytes that become floats again."""
    height, width = tf.unstack(tf.shape(images)[-3:-1])
    # XLA is faster where a row is one axis.
    rows, partner_rows = (tf.reshape(x, (-1, height, 3 * width)) for x in (images, partners))
    own, other = tf.cast(mix.own, tf.float32), tf.cast(1 - mix.own, tf.float32)
    blended = tf.round(tf.cast(rows, tf.float32) * own + tf.cast(partner_rows, tf.float32) * other)
    top, left, box_height, box_width = mix.box
    row, place = tf.range(height)[:, None], tf.range(3 * width)
    in_rows = (row >= top) & (row < top + box_height)
    inside = in_rows & (place >= 3 * left) & (place < 3 * (left + box_width))
    pasted = tf.where(inside, partner_rows, rows)
    mixed = tf.where(mix.cut, tf.cast(pasted, tf.float32), blended)
    return tf.reshape(mixed, tf.shape(images))


def mix_targets(targets: tf.Tensor, mix: Mix) -> tf.Tensor:
    """Mixes (B, classes) float32 targets as the images of their batch are mixed."""
    own, other = tf.cast(mix.own, tf.float32), tf.cast(1 - mix.own, tf.float32)
    return targets * own + tf.reverse(targets, (0,)) * other


def _cut_box(own: tf.Tensor, height: int, width: int, seed: tf.Tensor):
    """A box of side ratio sqrt(1 - own) whose center lies anywhere, clipped at the border."""
    centers = tf.unstack(tf.random.stateless_uniform((2,), seed, dtype=tf.float64), 2)
    starts, sizes = [], []
    for side, center in zip((height, width), centers, strict=True):
        half = tf.cast(side * tf.sqrt(1 - own), tf.int32) // 2
        middle = tf.cast(side * center, tf.int32)
        start = tf.maximum(middle - half, 0)
        starts.append(start)
        sizes.append(tf.minimum(middle + half, side) - start)
    return (*starts, *sizes)
