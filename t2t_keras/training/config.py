"""The settings of a run, each written once: its type, default, range and help.

Checks, command-line flags, their help and the documentation's table derive from the fields of
`TrainConfig`. Importing this module loads neither Keras nor TensorFlow.
"""

import dataclasses
import os
from typing import cast

from t2t_keras.data.settings import (
    AUGMENTATIONS,
    DIGITS,
    FRACTION,
    ON_BAD_IMAGE,
    SHARE,
    Augmentation,
    Setting,
    check_settings,
    parse_rand_augment,
    same_setting,
    setting,
    settings_of,
)
from t2t_keras.errors import check
from t2t_keras.images.constants import DEFAULT_CROP_PCT, STATISTICS, Color, check_colors
from t2t_keras.variants import Variant

BACKBONE = "backbone"
NOT_USED = "none"
FROM_RECIPE = dataclasses.MISSING  # no default: the dataset or the model decides
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The settings of one run; `make_config` fills in the recipe for a dataset and model.

    The defaults are the authors' for T2T-ViT-14 on ImageNet. Durations are in epochs.

    Raises:
        ValueError: A setting is out of range, or two settings contradict each other.
    """

    dataset: str = setting(
        DIGITS,
        "digits; a folder with train/CLASS/* and val/CLASS/*, or with CLASS/*; or a TFDS name, "
        "such as cifar10.",
    )
    data_dir: str | None = setting(None, "Root of the TFDS datasets; TFDS' own if not given.")
    train_split: str | None = setting(
        None, "TFDS split or slice to train on, such as train[:90%]; needs `eval_split`."
    )
    eval_split: str | None = setting(None, "TFDS split or slice to evaluate on.")
    validation_split: float = setting(
        0.0,
        "Fraction of the training images to evaluate on, for a dataset without evaluation images.",
        **FRACTION,
    )
    held_out: float = setting(
        0.0,
        "Fraction of a TFDS dataset's training images to choose the best weights on, so that the "
        "test images stay unseen; 0 chooses them on the test images.",
        **FRACTION,
    )
    on_bad_image: str = setting(
        "stop",
        "stop ends the run before it begins where an image is unreadable; skip leaves the image "
        "out and lists it in skipped_files.txt.",
        choices=ON_BAD_IMAGE,
    )
    max_bad_fraction: float = setting(
        0.01,
        "Highest fraction of the training or evaluation images that `on_bad_image=skip` may leave "
        "out.",
        **FRACTION,
    )

    model: str | Variant = setting(
        FROM_RECIPE, "Name of the model: t2t_vit_digits, or a published one such as t2t_vit_14."
    )
    image_size: tuple[int, int] = setting(
        FROM_RECIPE,
        "Side of the images in pixels, or HEIGHTxWIDTH such as 320x192; the model's own if not "
        "given.",
    )
    weights: str | os.PathLike[str] | None = setting(
        None,
        "Weights to start from or to evaluate: imagenet (the authors' release, downloaded), a file "
        "(.weights.h5, .keras, .safetensors, .pth, .pth.tar, .ckpt) or a run's folder; random "
        "weights if not given.",
    )
    weights_key: str = setting(
        "auto",
        "State dict in a .pth or .ckpt file that holds several, such as state_dict.student; auto "
        "takes the only one, or averaged weights (ema) rather than raw ones.",
    )
    drop_path_rate: float = setting(
        0.1, "Stochastic depth's rate in the deepest block.", **FRACTION
    )

    batch_size: int = setting(512, "Images per step, over all devices together.", at_least=1)
    accumulate: int = setting(
        1,
        "Parts in which each device computes its images of a step, where memory is short; needs "
        "the TensorFlow backend.",
        at_least=1,
    )
    epochs: int = setting(300, "Epochs of the first cosine, warm-up included.", at_least=1)
    warmup_epochs: int = setting(10, "Epochs of linear warm-up.", at_least=0)
    cooldown_epochs: int = setting(10, "Epochs at `min_lr` after the last cosine.", at_least=0)
    lr: float = setting(
        5e-4,
        "Peak learning rate; the authors' is for 512 images per step, with `transfer` for 64.",
        above=0,
    )
    min_lr: float = setting(
        1e-5, "Learning rate at the end of the first cosine; at most `lr`.", at_least=0
    )
    warmup_lr: float = setting(
        1e-6, "Learning rate of the first warm-up epoch; at most `lr`.", at_least=0
    )
    lr_cycle_limit: int = setting(
        1, "Number of cosines, each after the first one a restart.", at_least=1
    )
    lr_cycle_mul: float = setting(
        1.0, "Length of each cosine relative to the one before it.", at_least=1
    )
    lr_cycle_decay: float = setting(
        0.1, "Learning rates of each cosine relative to the one before it.", **SHARE
    )
    optimizer: str = setting(
        "adamw",
        "Optimizer: adamw as the authors use it, torch's sgd, or lamb.",
        choices=("adamw", "sgd", "lamb"),
    )
    nesterov: bool = setting(True, "Use Nesterov momentum with sgd.")
    weight_decay: float = setting(
        0.05,
        "Weight decay of the optimizer; for sgd the factor of an L2 term in the gradient.",
        at_least=0,
    )
    decay_all: bool = setting(False, "Decay biases, norms and the class token too.")
    clip_grad: float | None = setting(
        None, "Highest norm of all gradients together; no limit if not given.", above=0
    )
    ema_decay: float = setting(
        0.0,
        "Decay of the weights' moving average per step, such as 0.99996; the average is validated "
        "too and its best state is kept; 0 keeps no average.",
        **FRACTION,
    )

    augment: str = setting(
        "crop_flip",
        "Crops in training: none, light (small shifts and scales), pad_flip (shifts beyond the "
        "border, and flips) or crop_flip (random resized crops, and flips).",
        choices=tuple(AUGMENTATIONS),
    )
    rand_augment: str = setting(
        "rand-m9-mstd0.5-inc1",
        "RandAugment's configuration, such as rand-m9-mstd0.5-inc1, or none.",
    )
    color_jitter: float = same_setting(Augmentation, "color_jitter", 0.4)
    erasing: float = same_setting(Augmentation, "erasing", 0.25)
    erasing_mode: str = same_setting(Augmentation, "erasing_mode", "pixel")
    mixup: float = same_setting(Augmentation, "mixup", 0.8)
    cutmix: float = same_setting(Augmentation, "cutmix", 1.0)
    mixup_prob: float = same_setting(Augmentation, "mixup_prob", 1.0)
    mixup_switch_prob: float = same_setting(Augmentation, "mixup_switch_prob", 0.5)
    smoothing: float = same_setting(Augmentation, "smoothing", 0.1)
    class_weight: str = setting(
        NOT_USED,
        "balanced weights the training images of a class by the inverse of its frequency.",
        choices=(NOT_USED, "balanced"),
    )
    crop_pct: float = setting(
        DEFAULT_CROP_PCT,
        "Fraction of the resized side that the evaluation's center crop keeps.",
        **SHARE,
    )
    statistics: str = setting(
        "imagenet",
        "Channel means and deviations that images are normalized by: ImageNet's, or CIFAR's as for "
        "the authors' CIFAR models.",
        choices=tuple(STATISTICS),
    )
    mean: tuple[float, ...] = setting(
        (), "Mean of red, green and blue in 0..1, instead of that of `statistics`."
    )
    std: tuple[float, ...] = setting(
        (), "Deviation of red, green and blue in 0..1, instead of that of `statistics`."
    )

    transfer: bool = setting(
        False, "Give the weights a fresh classifier and fine-tune by the authors' transfer recipe."
    )
    freeze: str = setting(
        NOT_USED,
        "Parts that are not trained: none; backbone (the classifier alone is trained, on features "
        "computed once, without augmentation); or a number N (stem, class token and the first N "
        "blocks, whose dropout stays on).",
    )
    backbone_lr_ratio: float = setting(
        1.0, "Learning rate of the backbone relative to the classifier's.", above=0
    )
    layer_decay: float = setting(
        1.0, "Learning rate of a block relative to that of the next one.", **SHARE
    )

    monitor: str = setting(
        "val_accuracy",
        "Score that the best weights are chosen by; val_loss tells epochs apart even on few "
        "images.",
        choices=("val_accuracy", "val_loss"),
    )
    patience: int = setting(
        0,
        "Epochs without better weights, by `monitor`, after which the run ends early; 0 never ends "
        "it.",
        at_least=0,
    )
    save_every: int = setting(
        0,
        "Steps between checkpoints within an epoch; every epoch ends with one anyway.",
        at_least=0,
    )
    log_every: int = setting(50, "Steps between two log lines.", at_least=1)
    seed: int = setting(
        42, "Seed of the initial weights, order, augmentation and dropout.", at_least=0
    )
    precision: str = setting(
        "float32",
        "Number format to compute in; weights are float32 in all three.",
        choices=tuple(PRECISIONS),
    )
    devices: tuple[str, ...] = setting(
        (), "Devices, such as gpu:0,gpu:1 or cpu:0,cpu:1; all GPUs if not given, else the CPU."
    )
    jit_compile: bool = setting(
        False,
        "Compile the steps with XLA, on one device: a slow first epoch, faster ones after it.",
    )

    def __post_init__(self) -> None:
        check_settings(self)
        self._check_image_size()
        limits = {"min_lr": "lr", "warmup_lr": "lr", "warmup_epochs": "epochs"}
        for name, limit in limits.items():
            value, highest = getattr(self, name), getattr(self, limit)
            check(value <= highest, name, value, f"at most `{limit}`, {highest}")
        if self.rand_augment != NOT_USED:
            parse_rand_augment(self.rand_augment)
        given = self.train_split or self.eval_split or self.validation_split
        expected = "0 with `train_split`, `eval_split` or `validation_split`"
        check(not (self.held_out and given), "held_out", self.held_out, expected)
        check_colors(*self.normalization.values())
        self._check_transfer()

    @property
    def normalization(self) -> dict[str, Color]:
        """`mean` and `std`, a number per channel, by which the run normalizes images."""
        mean, std = STATISTICS[self.statistics]
        return {"mean": cast(Color, self.mean) or mean, "std": cast(Color, self.std) or std}

    def _check_image_size(self) -> None:
        size = self.image_size
        pair = isinstance(size, tuple) and len(size) == 2
        sides = pair and all(isinstance(side, int) and side >= 1 for side in size)
        check(sides, "image_size", size, "(height, width) in whole pixels")

    def _check_transfer(self) -> None:
        text = self.freeze if isinstance(self.freeze, str) else ""
        blocks = text.isascii() and text.isdecimal() and int(text) > 0
        expected = "none, backbone or a number of blocks above 0, as text"
        check(blocks or text in (NOT_USED, BACKBONE), "freeze", self.freeze, expected)
        for name, default in (("transfer", False), ("freeze", NOT_USED)):
            given = getattr(self, name) == default or self.weights is not None
            check(given, "weights", None, f"given with `{name}`: imagenet or a file to start from")
        unused = {"augment": NOT_USED, "rand_augment": NOT_USED}
        unused |= dict.fromkeys(("color_jitter", "erasing", "mixup", "cutmix"), "0")
        for name, off in unused.items():
            value = getattr(self, name)
            expected = f"{off} with `freeze=backbone`: features are computed once"
            check(self.freeze != BACKBONE or value in (off, 0), name, value, expected)


def settings() -> tuple[Setting, ...]:
    """Returns every field of `TrainConfig`, in order."""
    return settings_of(TrainConfig)
