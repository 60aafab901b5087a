"""Everything that happens to a training batch, in the order of timm 0.3.4."""

from typing import NamedTuple

import tensorflow as tf

from t2t_keras.data.ops.color import color_jitter, normalize
from t2t_keras.data.ops.crops import (
    CropParams,
    evaluation_crop,
    flip_if,
    light_crop,
    padded_crop,
    resized_crop,
    sample_crops,
)
from t2t_keras.data.ops.decode import decode_image
from t2t_keras.data.ops.erasing import Boxes, erase, sample_boxes
from t2t_keras.data.ops.graph import compiled
from t2t_keras.data.ops.jpeg_window import decode_window
from t2t_keras.data.ops.mixup import Mix, mix_levels, mix_targets, sample_mix
from t2t_keras.data.ops.randaugment import RandAugmentParams, rand_augment, sample_ops
from t2t_keras.data.ops.seeds import SINGLE, Shard, split_seed
from t2t_keras.data.settings import Augmentation
from t2t_keras.images.constants import Color
from t2t_keras.images.resize import Size


class AugmentationParams(NamedTuple):
    """The random numbers of images, a row an image."""

    crop: CropParams | tf.Tensor  # or (images, 2) seeds
    mirrored: tf.Tensor  # (images,) bool
    colors: RandAugmentParams | tf.Tensor  # or (images, 2) seeds


def sample_augmentation(
    augmentation: Augmentation, seed: tf.Tensor, images: int, shard: Shard = SINGLE
) -> AugmentationParams:
    """Samples what is random about each of a batch's images; returns a shard's rows of it."""
    crop_seed, flip_seed, color_seed = split_seed(seed, 3)
    if augmentation.crop == "random_resized":
        crop = sample_crops(crop_seed, images, augmentation.area, augmentation.ratio)
    else:
        crop = tf.random.split(crop_seed, images)
    if augmentation.rand_augment is not None:
        colors = sample_ops(augmentation.rand_augment, color_seed, images)
    else:
        colors = tf.random.split(color_seed, images)
    mirrored = tf.random.stateless_uniform((images,), flip_seed) < augmentation.flip
    params = AugmentationParams(crop, mirrored, colors)
    if shard.count == 1:
        return params
    rows = shard.rows(images)
    return tf.nest.map_structure(lambda field: tf.gather(field, rows), params)


def crop_image(
    contents: tf.Tensor,
    target: Size,
    crop_pct: float,
    augmentation: Augmentation,
    params: AugmentationParams,
) -> tf.Tensor:
    """Decodes one image, or what its crop keeps of it, and resizes it; `params` is one row."""
    if augmentation.crop == "random_resized":
        window = decode_window(contents, params.crop, augmentation.ratio)
        return resized_crop(window, target, params.crop.bicubic)
    image = decode_image(contents)
    if augmentation.crop == "light":
        return light_crop(image, target, crop_pct, params.crop)
    if augmentation.crop == "padded":
        return padded_crop(image, target, params.crop)
    return evaluation_crop(image, target, crop_pct)


def augment_image(
    image: tf.Tensor, augmentation: Augmentation, params: AugmentationParams, mean: Color
) -> tf.Tensor:
    """Mirrors a cropped uint8 image and changes its colors; RandAugment fills with the mean."""
    if augmentation.flip:
        image = flip_if(image, params.mirrored)
    if augmentation.rand_augment is not None:
        fill = tuple(min(round(255 * channel), 255) for channel in mean)
        return rand_augment(image, params.colors, fill)
    if augmentation.color_jitter:
        return color_jitter(image, augmentation.color_jitter, params.colors)
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
    """Mixes, normalizes and erases a batch, or a process' shard of it; the seed is the batch's.

    Images are uint8 of static shape, targets (B, classes) float32; both are returned in float32.
    """
    mix_seed, erasing_seed = split_seed(seed, 2)
    height, width = images.shape[1:3]
    if augmentation.mixup or augmentation.cutmix:
        mix = sample_mix(augmentation, height, width, mix_seed)
        pixels = _mix_and_normalize(images, mix, mean, std)
        targets = mix_targets(targets, mix)
    else:
        pixels = normalize(images, mean, std)
    if augmentation.erasing:
        count = tf.shape(images)[0] * shard.count
        boxes = sample_boxes(augmentation, height, width, count, erasing_seed)
        if shard.count > 1:
            rows = shard.rows(images.shape[0] * shard.count)
            boxes = Boxes(*(tf.gather(field, rows) for field in boxes))
        pixels = erase(pixels, augmentation.erasing_mode, boxes)
    return tf.ensure_shape(pixels, images.shape), targets


@compiled(
    input_signature=[
        tf.TensorSpec((None, None, None, 3), tf.uint8),
        Mix(
            tf.TensorSpec((), tf.float64),
            tf.TensorSpec((), tf.bool),
            (tf.TensorSpec((), tf.int32),) * 4,
        ),
        *[tf.TensorSpec((3,), tf.float32)] * 2,
    ]
)
def _mix_and_normalize(images: tf.Tensor, mix: Mix, mean: tf.Tensor, std: tf.Tensor) -> tf.Tensor:
    return normalize(mix_levels(images, tf.reverse(images, (0,)), mix), mean, std)
