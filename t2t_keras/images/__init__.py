"""Images outside tf.data: reading, resizing, normalizing, naming."""

from t2t_keras.images.constants import (
    CIFAR_MEAN,
    CIFAR_STD,
    DEFAULT_CROP_PCT,
    IMAGENET_MEAN,
    IMAGENET_STD,
)
from t2t_keras.images.decode import read_rgb
from t2t_keras.images.labels import decode_predictions, imagenet_labels
from t2t_keras.images.preprocess import load_image, preprocess_input

__all__ = [
    "CIFAR_MEAN",
    "CIFAR_STD",
    "DEFAULT_CROP_PCT",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "decode_predictions",
    "imagenet_labels",
    "load_image",
    "preprocess_input",
    "read_rgb",
]
