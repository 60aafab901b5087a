"""Data sets and the batches made of them, in tf.data."""

from t2t_keras.data.batch_names import batch_names
from t2t_keras.data.crops import (
    evaluation_crop,
    light_crop,
    random_flip,
    random_resized_crop,
)
from t2t_keras.data.decode import decode_picture
from t2t_keras.data.normalise import normalise
from t2t_keras.data.pipeline import AUGMENTATIONS, eval_dataset, steps_per_epoch, train_dataset
from t2t_keras.data.reading import picture_errors
from t2t_keras.data.seeds import batch_seed, example_seed, order_seed, split_seed
from t2t_keras.data.sources import Source, is_folder, open_source

__all__ = [
    "AUGMENTATIONS",
    "Source",
    "batch_names",
    "batch_seed",
    "decode_picture",
    "eval_dataset",
    "evaluation_crop",
    "example_seed",
    "is_folder",
    "light_crop",
    "normalise",
    "open_source",
    "order_seed",
    "picture_errors",
    "random_flip",
    "random_resized_crop",
    "split_seed",
    "steps_per_epoch",
    "train_dataset",
]
