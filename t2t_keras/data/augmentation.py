"""What a training image goes through, and in which order: that of timm 0.3.4."""

import dataclasses
import math
from typing import NamedTuple

import tensorflow as tf

from t2t_keras.data.ops.color import color_jitter
from t2t_keras.data.ops.crops import (
    CROP_AREA,
    CROP_RATIO,
    CropParams,
    Range,
    evaluation_crop,
    flip_if,
    light_crop,
    padded_crop,
    resized_crop,
    sample_crops,
)
from t2t_keras.data.ops.decode import decode_image
from t2t_keras.data.ops.erasing import Boxes, RandomErasingConfig, erase, sample_boxes
from t2t_keras.data.ops.graph import compiled
from t2t_keras.data.ops.jpeg_window import decode_window
from t2t_keras.data.ops.mixup import Mix, MixupConfig, mix_levels, mix_targets, sample_mix
from t2t_keras.data.ops.normalize import Color, normalize
from t2t_keras.data.ops.randaugment import (
    RandAugmentConfig,
    RandAugmentParams,
    rand_augment,
    sample_ops,
)
from t2t_keras.data.ops.seeds import SINGLE, Shard, split_seed
from t2t_keras.errors import require
from t2t_keras.images.resize import Size

CROPS = ("none", "light", "padded", "random_resized")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Everything a training image and its label go through.

    Args:
        crop: "none" (the evaluation's), "light" (shifts and scales, for digits), "padded" (shifts
            beyond the border, as for CIFAR) or "random_resized", as for ImageNet.
        area: Fraction of the image's area that a random resized crop keeps, within (0, 1].
        ratio: Its width over its height, above 0.
        flip: Probability of mirroring left and right, in [0, 1].
        rand_augment: What RandAugment draws; None is none.
        color_jitter: Range of the changes of brightness, contrast and saturation, at least 0;
            only used without `rand_augment`.
        mixing: Mixup and cutmix; None is neither.
        erasing: Random erasing; None is none.
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

    def __post_init__(self):
        area, ratio = self.area, self.ratio
        checks = {
            "crop": (self.crop in CROPS, f"one of {', '.join(CROPS)}"),
            "area": (0 < area[0] <= area[1] <= 1, "a range within (0, 1]"),
            "ratio": (0 < ratio[0] <= ratio[1] < math.inf, "a range of finite numbers above 0"),
            "flip": (0 <= self.flip <= 1, "in [0, 1]"),
            "color_jitter": (0 <= self.color_jitter < math.inf, "at least 0 and finite"),
            "smoothing": (0 <= self.smoothing < 1, "in [0, 1)"),
        }
        for name, (holds, expected) in checks.items():
            require(self, name, holds, expected)


AUGMENTATIONS = {
    "none": Augmentation(crop="none", flip=0.0),
    "light": Augmentation(crop="light", flip=0.0),
    "pad_flip": Augmentation(crop="padded"),
    "crop_flip": Augmentation(),
}


class AugmentationParams(NamedTuple):
    """What images draw for themselves, a row an image.

    Attributes:
        crop: What `sample_crops` drew, or (images, 2) seeds.
        mirrored: (images,) bool.
        look: What `sample_ops` drew, or (images, 2) seeds.
    """

    crop: CropParams | tf.Tensor
    mirrored: tf.Tensor
    look: RandAugmentParams | tf.Tensor


def sample_augmentation(
    augmentation: Augmentation, seed: tf.Tensor, images: int, shard: Shard = SINGLE
) -> AugmentationParams:
    """Samples what is random about each image of a batch, or of a process' share of it.

    Args:
        augmentation: What will be done.
        seed: (2,) int64 of the whole batch.
        images: Of the whole batch.
        shard: Which rows of the batch to return.
    """
    crop_seed, flip_seed, look_seed = split_seed(seed, 3)
    if augmentation.crop == "random_resized":
        crop = sample_crops(crop_seed, images, augmentation.area, augmentation.ratio)
    else:
        crop = tf.random.split(crop_seed, images)
    if augmentation.rand_augment is not None:
        look = sample_ops(augmentation.rand_augment, look_seed, images)
    else:
        look = tf.random.split(look_seed, images)
    mirrored = tf.random.stateless_uniform((images,), flip_seed) < augmentation.flip
    drawn = AugmentationParams(crop, mirrored, look)
    if shard.count == 1:
        return drawn
    held = shard.rows(images)
    return tf.nest.map_structure(lambda field: tf.gather(field, held), drawn)


def crop_image(
    contents: tf.Tensor,
    target: Size,
    crop_pct: float,
    augmentation: Augmentation,
    drawn: AugmentationParams,
) -> tf.Tensor:
    """Decodes one image, or what its crop keeps of it, and resizes that.

    Args:
        contents: () string, the encoded image.
        target: (height, width) to come out.
        crop_pct: Of the evaluation's crop, which "none" and "light" build on.
        augmentation: What to do.
        drawn: One row of what `sample_augmentation` drew.

    Returns:
        (height, width, 3) uint8.

    Raises:
        tf.errors.InvalidArgumentError: The image cannot be read.
    """
    if augmentation.crop == "random_resized":
        window = decode_window(contents, drawn.crop, augmentation.ratio)
        return resized_crop(window, target, drawn.crop.bicubic)
    image = decode_image(contents)
    if augmentation.crop == "light":
        return light_crop(image, target, crop_pct, drawn.crop)
    if augmentation.crop == "padded":
        return padded_crop(image, target, drawn.crop)
    return evaluation_crop(image, target, crop_pct)


def augment_image(
    image: tf.Tensor, augmentation: Augmentation, drawn: AugmentationParams, mean: Color
) -> tf.Tensor:
    """What one image goes through between its crop and its batch.

    Args:
        image: (H, W, 3) uint8.
        augmentation: What to do.
        drawn: One row of what `sample_augmentation` drew.
        mean: Of each channel, in 0..1: what RandAugment puts where it moves an image away.

    Returns:
        uint8 of the same shape.
    """
    if augmentation.flip:
        image = flip_if(image, drawn.mirrored)
    if augmentation.rand_augment is not None:
        fill = tuple(min(round(255 * channel), 255) for channel in mean)
        return rand_augment(image, drawn.look, fill)
    if augmentation.color_jitter:
        return color_jitter(image, augmentation.color_jitter, drawn.look)
    return image


def augment_batch(
    images: tf.Tensor,
    targets: tf.Tensor,
    augmentation: Augmentation,
    seed: tf.Tensor,
    mean: Color,
    std: Color,
    shard: Shard = SINGLE,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mixes, normalizes and erases a batch, or a process' share of it.

    Args:
        images: (B, H, W, 3) uint8; H and W static, B too where it is a share. B may be odd.
        targets: (B, classes) float32, smoothed already.
        augmentation: What to do.
        seed: (2,) int64 of the whole batch.
        mean: Of each channel, in 0..1.
        std: Of each channel, in 0..1.
        shard: Which rows of the batch these are.

    Returns:
        (B, H, W, 3) float32 and (B, classes) float32.
    """
    mixing, erasing = augmentation.mixing, augmentation.erasing
    if mixing is None and erasing is None:
        return normalize(images, mean, std), targets
    mix_seed, erasing_seed = split_seed(seed, 2)
    count = tf.shape(images)[0]
    mix = None if mixing is None else sample_mix(mixing, *images.shape[1:3], mix_seed)
    if mix is None:
        made = normalize(images, mean, std)
    else:
        made = _mixed_and_normal(images, mix.own, mix.cut, tf.stack(mix.box), mean, std)
        targets = mix_targets(targets, mix)
    if erasing is not None:
        boxes = sample_boxes(erasing, *images.shape[1:3], count * shard.count, erasing_seed)
        if shard.count > 1:
            rows = shard.rows(images.shape[0] * shard.count)
            boxes = Boxes(*(tf.gather(field, rows) for field in boxes))
        made = erase(made, erasing.mode, boxes)
    return tf.ensure_shape(made, images.shape), targets


# XLA does all of it in one pass over the pixels, and compiles it once for a size of batch.
@compiled(
    input_signature=[
        tf.TensorSpec((None, None, None, 3), tf.uint8),
        tf.TensorSpec((), tf.float64),
        tf.TensorSpec((), tf.bool),
        tf.TensorSpec((4,), tf.int32),
        *[tf.TensorSpec((3,), tf.float32)] * 2,
    ]
)
def _mixed_and_normal(images, own, cut, box, mean, std):
    mix = Mix(own, cut, tuple(tf.unstack(box)))
    return normalize(mix_levels(images, tf.reverse(images, (0,)), mix), mean, std)
