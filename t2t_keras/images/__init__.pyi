from .constants import (
    CIFAR_MEAN as CIFAR_MEAN,
    CIFAR_STD as CIFAR_STD,
    DEFAULT_CROP_PCT as DEFAULT_CROP_PCT,
    IMAGENET_MEAN as IMAGENET_MEAN,
    IMAGENET_STD as IMAGENET_STD,
)
from .decode import (
    read_rgb as read_rgb,
)
from .labels import (
    decode_predictions as decode_predictions,
    imagenet_labels as imagenet_labels,
)
from .preprocess import (
    load_image as load_image,
    preprocess_input as preprocess_input,
)
