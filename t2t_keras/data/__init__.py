"""Datasets and the batches made of them, in tf.data."""

from t2t_keras.data.augmentation import (
    AUGMENTATIONS,
    Augmentation,
    augment_batch,
    augment_image,
    crop_image,
    sample_augmentation,
)
from t2t_keras.data.inspection import ON_BAD_IMAGE, CheckedSplits, check_images
from t2t_keras.data.ops.color import color_jitter
from t2t_keras.data.ops.crops import evaluation_crop, light_crop, random_flip, random_resized_crop
from t2t_keras.data.ops.decode import decode_image
from t2t_keras.data.ops.erasing import (
    ERASING_MODES,
    Boxes,
    RandomErasingConfig,
    erase,
    sample_boxes,
)
from t2t_keras.data.ops.graph import plain_options
from t2t_keras.data.ops.mixup import (
    Mix,
    MixupConfig,
    mix_pixels,
    mix_targets,
    sample_mix,
    soft_targets,
)
from t2t_keras.data.ops.normalize import Color, normalize
from t2t_keras.data.ops.randaugment import RandAugmentConfig, parse_rand_augment, rand_augment
from t2t_keras.data.ops.seeds import SINGLE, Shard, batch_seed, order_seed, split_seed
from t2t_keras.data.pipeline import (
    batch_names,
    eval_dataset,
    image_errors,
    steps_per_epoch,
    train_dataset,
)
from t2t_keras.data.sources.source import Source, is_folder, open_source

__all__ = [
    "AUGMENTATIONS",
    "Augmentation",
    "Boxes",
    "Color",
    "ERASING_MODES",
    "RandomErasingConfig",
    "Mix",
    "MixupConfig",
    "augment_batch",
    "augment_image",
    "RandAugmentConfig",
    "Shard",
    "Source",
    "SINGLE",
    "batch_names",
    "ON_BAD_IMAGE",
    "CheckedSplits",
    "batch_seed",
    "color_jitter",
    "crop_image",
    "decode_image",
    "sample_boxes",
    "sample_augmentation",
    "sample_mix",
    "erase",
    "eval_dataset",
    "evaluation_crop",
    "is_folder",
    "light_crop",
    "mix_pixels",
    "mix_targets",
    "normalize",
    "open_source",
    "order_seed",
    "plain_options",
    "parse_rand_augment",
    "image_errors",
    "rand_augment",
    "random_flip",
    "random_resized_crop",
    "soft_targets",
    "split_seed",
    "steps_per_epoch",
    "train_dataset",
    "check_images",
]
