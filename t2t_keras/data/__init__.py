"""Data sets and the batches made of them, in tf.data."""

from t2t_keras.data.augmentation import (
    AUGMENTATIONS,
    Augmentation,
    augment_batch,
    augment_picture,
    crop_picture,
    draw_pictures,
)
from t2t_keras.data.inspection import ON_BAD_IMAGE, UsableParts, usable_parts
from t2t_keras.data.ops.color import colour_jitter
from t2t_keras.data.ops.crops import evaluation_crop, light_crop, random_flip, random_resized_crop
from t2t_keras.data.ops.decode import decode_picture
from t2t_keras.data.ops.erasing import ERASING_MODES, Boxes, Erasing, draw_boxes, erase
from t2t_keras.data.ops.graph import plain_options
from t2t_keras.data.ops.mixup import Mix, Mixing, draw_mix, mix_pixels, mix_targets, soft_targets
from t2t_keras.data.ops.normalize import Colour, normalise
from t2t_keras.data.ops.randaugment import RandAugmentConfig, parse_rand_augment, rand_augment
from t2t_keras.data.ops.seeds import WHOLE, Share, batch_seed, order_seed, split_seed
from t2t_keras.data.pipeline import (
    batch_names,
    eval_dataset,
    picture_errors,
    steps_per_epoch,
    train_dataset,
)
from t2t_keras.data.sources.source import Source, is_folder, open_source

__all__ = [
    "AUGMENTATIONS",
    "Augmentation",
    "Boxes",
    "Colour",
    "ERASING_MODES",
    "Erasing",
    "Mix",
    "Mixing",
    "augment_batch",
    "augment_picture",
    "RandAugmentConfig",
    "Share",
    "Source",
    "WHOLE",
    "batch_names",
    "ON_BAD_IMAGE",
    "UsableParts",
    "batch_seed",
    "colour_jitter",
    "crop_picture",
    "decode_picture",
    "draw_boxes",
    "draw_pictures",
    "draw_mix",
    "erase",
    "eval_dataset",
    "evaluation_crop",
    "is_folder",
    "light_crop",
    "mix_pixels",
    "mix_targets",
    "normalise",
    "open_source",
    "order_seed",
    "plain_options",
    "parse_rand_augment",
    "picture_errors",
    "rand_augment",
    "random_flip",
    "random_resized_crop",
    "soft_targets",
    "split_seed",
    "steps_per_epoch",
    "train_dataset",
    "usable_parts",
]
