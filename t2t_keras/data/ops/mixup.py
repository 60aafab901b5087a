"""Mixup and cutmix: image i of a batch of B is mixed with image B - 1 - i.

All images of a batch are mixed alike, as in the authors' training.

Reference: arXiv:1710.09412 and arXiv:1905.04899; timm 0.3.4, `FastCollateMixup` in "batch" mode.
"""

from typing import NamedTuple

import tensorflow as tf

from t2t_keras.data.ops.seeds import split_seed
from t2t_keras.data.settings import Augmentation


def soft_targets(labels: tf.Tensor, classes: int, smoothing: float = 0.0) -> tf.Tensor:
    """Makes (B, classes) float32 probabilities of labels, partly spread over all classes."""
    off = smoothing / classes
    return tf.one_hot(labels, classes, on_value=1.0 - smoothing + off, off_value=off)


class Mix(NamedTuple):
    """Mixing of one batch."""

    lam: tf.Tensor  # () float64, the weight of each image and its label; 1 where nothing is mixed
    cut: tf.Tensor  # () bool, true for cutmix
    box: tuple[tf.Tensor, ...]  # (top, left, height, width), () int32 each: what cutmix replaces


def sample_mix(config: Augmentation, height: int, width: int, seed: tf.Tensor) -> Mix:
    """Samples how to mix a batch of images of this size; one of the two alphas is above 0."""
    cut_prob = config.mixup_switch_prob if config.mixup and config.cutmix else config.cutmix > 0
    mixed_seed, cut_seed, beta_seed, place_seed = split_seed(seed, 4)
    mixed = tf.random.stateless_uniform((), mixed_seed) < config.mixup_prob
    cut = tf.random.stateless_uniform((), cut_seed) < float(cut_prob)
    cut &= mixed
    # The other alpha may be 0: a substitute that is never used keeps the sample finite.
    alphas = [alpha or 1.0 for alpha in (config.cutmix, config.mixup)]
    alpha = tf.where(cut, *(tf.constant(alpha, tf.float64) for alpha in alphas))
    lam = tf.where(mixed, symmetric_beta(alpha, beta_seed), 1.0)
    box = _cut_box(lam, height, width, place_seed)
    uncut = 1 - tf.cast(box[2] * box[3], tf.float64) / (height * width)
    return Mix(tf.where(cut, uncut, lam), cut, box)


def symmetric_beta(alpha: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Samples from Beta(alpha, alpha), () float64; `alpha` is a () float64 above 0."""
    gamma_seed, power_seed = split_seed(seed, 2)
    # G(a) = G(a + 1) U^(1/a). In logarithms no sample of a small alpha is lost to underflow.
    gammas = tf.random.stateless_gamma((2,), gamma_seed, alpha + 1, dtype=tf.float64)
    powers = tf.random.stateless_uniform((2,), power_seed, dtype=tf.float64)
    logs = tf.math.log(gammas) + tf.math.log(powers) / alpha
    return tf.sigmoid(logs[0] - logs[1])


def mix_levels(images: tf.Tensor, partners: tf.Tensor, mix: Mix) -> tf.Tensor:
    """Mixes (..., H, W, 3) uint8 images with their partners, rounded to float32 levels.

    XLA is slow at making bytes that become floats again. Halves are rounded to even.
    """
    height, width = tf.unstack(tf.shape(images)[-3:-1])
    rows, partner_rows = (tf.reshape(x, (-1, height, 3 * width)) for x in (images, partners))
    lam, other = tf.cast(mix.lam, tf.float32), tf.cast(1 - mix.lam, tf.float32)
    blended = tf.round(tf.cast(rows, tf.float32) * lam + tf.cast(partner_rows, tf.float32) * other)
    top, left, box_height, box_width = mix.box
    row, place = tf.range(height)[:, None], tf.range(3 * width)
    in_rows = (row >= top) & (row < top + box_height)
    inside = in_rows & (place >= 3 * left) & (place < 3 * (left + box_width))
    pasted = tf.where(inside, partner_rows, rows)
    mixed = tf.where(mix.cut, tf.cast(pasted, tf.float32), blended)
    return tf.reshape(mixed, tf.shape(images))


def mix_targets(targets: tf.Tensor, mix: Mix) -> tf.Tensor:
    """Mixes (B, classes) float32 targets as the images of their batch are mixed."""
    lam, other = tf.cast(mix.lam, tf.float32), tf.cast(1 - mix.lam, tf.float32)
    return targets * lam + tf.reverse(targets, (0,)) * other


def _cut_box(lam: tf.Tensor, height: int, width: int, seed: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Samples a box of side ratio sqrt(1 - lam), its center anywhere, clipped at the border."""
    centers = tf.unstack(tf.random.stateless_uniform((2,), seed, dtype=tf.float64), 2)
    starts, sizes = [], []
    for side, center in zip((height, width), centers, strict=True):
        half = tf.cast(side * tf.sqrt(1 - lam), tf.int32) // 2
        middle = tf.cast(side * center, tf.int32)
        start = tf.maximum(middle - half, 0)
        starts.append(start)
        sizes.append(tf.minimum(middle + half, side) - start)
    return (*starts, *sizes)
