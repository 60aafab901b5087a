from .inspection import (
    CheckedSplits as CheckedSplits,
    check_images as check_images,
    image_errors as image_errors,
)
from .pipeline import (
    eval_dataset as eval_dataset,
    steps_per_epoch as steps_per_epoch,
    train_dataset as train_dataset,
)
from .settings import (
    AUGMENTATIONS as AUGMENTATIONS,
    Augmentation as Augmentation,
    RandAugmentConfig as RandAugmentConfig,
    parse_rand_augment as parse_rand_augment,
)
from .sources.source import (
    Source as Source,
    open_source as open_source,
)
