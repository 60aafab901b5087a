"""Data sets and the batches made of them, in tf.data."""

from t2t_keras.data.augmentation import (
    AUGMENTATIONS,
    Augmentation,
    augment_batch,
    augment_picture,
    crop_picture,
    draw_pictures,
)
from t2t_keras.data.bad_pictures import ON_BAD_IMAGE, UsableParts, usable_parts
from t2t_keras.data.batch_names import batch_names
from t2t_keras.data.colour_jitter import colour_jitter
from t2t_keras.data.crops import (
    evaluation_crop,
    light_crop,
    random_flip,
    random_resized_crop,
)
from t2t_keras.data.decode import decode_picture
from t2t_keras.data.erasing import ERASING_MODES, Boxes, Erasing, draw_boxes, erase
from t2t_keras.data.mixup import Mix, Mixing, draw_mix, mix_pixels, mix_targets
from t2t_keras.data.normalise import Colour, normalise
from t2t_keras.data.pipeline import eval_dataset, steps_per_epoch, train_dataset
from t2t_keras.data.plain_options import plain_options
from t2t_keras.data.randaugment import RandAugmentConfig, parse_rand_augment, rand_augment
from t2t_keras.data.reading import picture_errors
from t2t_keras.data.seeds import batch_seed, order_seed, split_seed
from t2t_keras.data.share import WHOLE, Share
from t2t_keras.data.sources import Source, is_folder, open_source
from t2t_keras.data.targets import soft_targets

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
