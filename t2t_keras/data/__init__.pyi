from .augmentation import (
    AUGMENTATIONS as AUGMENTATIONS,
    Augmentation as Augmentation,
    augment_batch as augment_batch,
    augment_image as augment_image,
    crop_image as crop_image,
    sample_augmentation as sample_augmentation,
)
from .inspection import (
    ON_BAD_IMAGE as ON_BAD_IMAGE,
    CheckedSplits as CheckedSplits,
    check_images as check_images,
)
from .ops.color import (
    color_jitter as color_jitter,
)
from .ops.crops import (
    evaluation_crop as evaluation_crop,
    light_crop as light_crop,
    random_flip as random_flip,
    random_resized_crop as random_resized_crop,
)
from .ops.decode import (
    decode_image as decode_image,
)
from .ops.erasing import (
    ERASING_MODES as ERASING_MODES,
    Boxes as Boxes,
    RandomErasingConfig as RandomErasingConfig,
    erase as erase,
    sample_boxes as sample_boxes,
)
from .ops.graph import (
    plain_options as plain_options,
)
from .ops.mixup import (
    Mix as Mix,
    MixupConfig as MixupConfig,
    mix_pixels as mix_pixels,
    mix_targets as mix_targets,
    sample_mix as sample_mix,
    soft_targets as soft_targets,
)
from .ops.normalize import (
    Color as Color,
    normalize as normalize,
)
from .ops.randaugment import (
    RandAugmentConfig as RandAugmentConfig,
    parse_rand_augment as parse_rand_augment,
    rand_augment as rand_augment,
)
from .ops.seeds import (
    SINGLE as SINGLE,
    Shard as Shard,
    batch_seed as batch_seed,
    order_seed as order_seed,
    split_seed as split_seed,
)
from .pipeline import (
    batch_names as batch_names,
    eval_dataset as eval_dataset,
    image_errors as image_errors,
    steps_per_epoch as steps_per_epoch,
    train_dataset as train_dataset,
)
from .sources.source import (
    Source as Source,
    is_folder as is_folder,
    open_source as open_source,
)
