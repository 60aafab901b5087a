"""The settings of one run, checked as soon as they are made."""

import dataclasses
import math
import os

from t2t_keras.data import (
    AUGMENTATIONS,
    ERASING_MODES,
    ON_BAD_IMAGE,
    Augmentation,
    Color,
    MixupConfig,
    RandomErasingConfig,
    parse_rand_augment,
)
from t2t_keras.errors import require
from t2t_keras.images.constants import DEFAULT_CROP_PCT, STATISTICS
from t2t_keras.variants import Variant

BACKBONE = "backbone"
CLASS_WEIGHTS = ("none", "balanced")
MONITORS = ("val_accuracy", "val_loss")
NOT_USED = "none"
OPTIMIZERS = ("adamw", "sgd", "lamb")
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The settings of one run; `make_config` fills in the recipe for a dataset and model.

    Durations are in epochs, batches over all devices.

    Args:
        dataset: "digits", a folder of images or a TFDS name, as `open_source` takes it.
        model: A model's name, or sizes of one's own.
        image_size: (height, width) in pixels.
        batch_size: Images in a batch, over all devices; at least 1.
        epochs: Length of the first cosine; at least 1.
        warmup_epochs: Epochs of linear warm-up, within the cosine's.
        cooldown_epochs: Epochs at `min_lr` after the cosine's.
        lr: Peak learning rate; above 0.
        weight_decay: Of the optimizer, in its own sense; at least 0.
        drop_path_rate: Of stochastic depth in the deepest block, in [0, 1).
        augment: Crops in training, a name in `AUGMENTATIONS`.
        rand_augment: RandAugment's configuration, such as "rand-m9-mstd0.5-inc1", or "none".
        color_jitter: Range of the changes of brightness, contrast and saturation, at least 0; only
            used without RandAugment.
        erasing: Probability of random erasing, in [0, 1].
        erasing_mode: What is put there: "const" (the mean), "rand" (a color) or "pixel" (noise).
        mixup: Alpha of mixup, at least 0; 0 is none.
        cutmix: Alpha of cutmix, at least 0; 0 is none.
        mixup_prob: Probability that a batch is mixed, in [0, 1].
        mixup_switch_prob: Probability that a mixed batch gets cutmix, in [0, 1]; only used where
            neither alpha is 0.
        min_lr: Learning rate at the end.
        warmup_lr: Learning rate of the first warm-up epoch.
        lr_cycle_mul: How many times as long as the one before each cosine is; at least 1.
        lr_cycle_limit: Number of cosines, each after the first a restart; at least 1.
        lr_cycle_decay: What share of the one before's rates each cosine has, in (0, 1].
        optimizer: "adamw", "sgd" or "lamb", as `build_optimizer` takes it.
        nesterov: Whether "sgd" has Nesterov's momentum.
        decay_all: Whether biases, norms and the class token decay too.
        transfer: Whether `weights` get a fresh classifier, whatever classes theirs is for.
        backbone_lr_ratio: The backbone's learning rate over the classifier's; above 0.
        layer_decay: Learning rate of a block over that of the next one, in (0, 1].
        freeze: What stays as it was: "none"; "backbone", so that the classifier alone is trained,
            on features that are computed once, without augmentation; or the number N as text: stem,
            class token and the first N blocks, whose dropout goes on.
        class_weight: "balanced" has images of rare classes count as much more as there are fewer
            of them, in training alone; or "none".
        patience: Epochs without better weights, in the sense of `monitor`, after which a run ends
            early; 0 never does.
        statistics: Whose channel means and deviations images are normalized by: "imagenet", or
            "cifar" as the authors' CIFAR models were.
        clip_grad: Highest norm over all gradients; above 0, or None for no limit.
        ema_decay: Of the weights' moving average, in [0, 1); 0 keeps none.
        accumulate: Parts that each device takes its share of a batch in; at least 1.
        smoothing: Fraction of each label spread over all classes, in [0, 1).
        crop_pct: Fraction of the resized side that the evaluation's crop keeps, in (0, 1].
        held_out: Fraction of TFDS' "train" split, in [0, 1), that best weights are chosen on, so
            that the evaluation images stay unseen; 0 chooses on the evaluation images.
        monitor: What the best weights are best in: "val_accuracy", or "val_loss", which tells
            epochs apart even on few images.
        validation_split: Fraction of the training images to evaluate on, in [0, 1), for a dataset
            without evaluation images.
        train_split: TFDS split or slice to train on, given with `eval_split`.
        eval_split: TFDS split or slice to evaluate on.
        data_dir: Root of TFDS datasets; None is TFDS' own.
        on_bad_image: What becomes of images that cannot be used: "stop" ends the run before it
            begins, "skip" leaves them out.
        max_bad_fraction: Fraction of the training or evaluation images, in [0, 1), that "skip" may
            leave out.
        weights: What the model starts from: None (random), "imagenet" or a file.
        precision: "float32", "bfloat16" or "float16"; weights are float32 in all three.
        devices: Such as ("cpu:0", "cpu:1"); none stands for all GPUs, else the CPU.
        seed: Of weights, order, crops and dropout.
        jit_compile: Whether XLA compiles the steps; where there are several devices it does not.
        save_every: Steps between two checkpoints, at least 0; every epoch ends with one anyway.
        log_every: Steps between two lines about the progress; at least 1.

    Raises:
        ValueError: A setting is out of range.
    """

    dataset: str
    model: str | Variant
    image_size: tuple[int, int]
    batch_size: int
    epochs: int
    warmup_epochs: int
    cooldown_epochs: int
    lr: float
    weight_decay: float
    drop_path_rate: float
    augment: str
    rand_augment: str = NOT_USED
    color_jitter: float = 0.0
    erasing: float = 0.0
    erasing_mode: str = "pixel"
    mixup: float = 0.0
    cutmix: float = 0.0
    mixup_prob: float = 1.0
    mixup_switch_prob: float = 0.5
    min_lr: float = 1e-5
    warmup_lr: float = 1e-6
    lr_cycle_mul: float = 1.0
    lr_cycle_limit: int = 1
    lr_cycle_decay: float = 0.1
    optimizer: str = "adamw"
    nesterov: bool = True
    decay_all: bool = False
    transfer: bool = False
    backbone_lr_ratio: float = 1.0
    layer_decay: float = 1.0
    freeze: str = NOT_USED
    class_weight: str = NOT_USED
    patience: int = 0
    statistics: str = "imagenet"
    clip_grad: float | None = None
    ema_decay: float = 0.0
    accumulate: int = 1
    smoothing: float = 0.1
    crop_pct: float = DEFAULT_CROP_PCT
    held_out: float = 0.0
    monitor: str = "val_accuracy"
    validation_split: float = 0.0
    train_split: str | None = None
    eval_split: str | None = None
    data_dir: str | None = None
    on_bad_image: str = "stop"
    max_bad_fraction: float = 0.01
    weights: str | os.PathLike | None = None
    precision: str = "float32"
    devices: tuple[str, ...] = ()
    seed: int = 42
    jit_compile: bool = False
    save_every: int = 0
    log_every: int = 50

    def __post_init__(self):
        self._check_size()
        self._check_numbers()
        self._check_steps()
        self._check_transfer()
        if self.warmup_epochs > self.epochs:
            raise ValueError(
                f"`warmup_epochs` must be at most `epochs`, {self.epochs}. "
                f"Received: warmup_epochs={self.warmup_epochs}"
            )
        names = {
            "precision": PRECISIONS,
            "monitor": MONITORS,
            "augment": AUGMENTATIONS,
            "erasing_mode": ERASING_MODES,
            "on_bad_image": ON_BAD_IMAGE,
            "class_weight": CLASS_WEIGHTS,
            "statistics": STATISTICS,
        }
        for name, allowed in names.items():
            require(self, name, getattr(self, name) in allowed, f"one of {', '.join(allowed)}")
        if self.rand_augment != NOT_USED:
            parse_rand_augment(self.rand_augment)
        splits_given = (self.train_split, self.eval_split, self.validation_split or None)
        if self.held_out and splits_given != (None, None, None):
            raise ValueError(
                "`held_out` must be 0 beside `train_split`, `eval_split` or `validation_split`. "
                f"Received: held_out={self.held_out}"
            )

    @property
    def colors(self) -> dict[str, Color]:
        """`mean` and `std` of each channel, in 0..1, that images are normalized by."""
        return dict(zip(("mean", "std"), STATISTICS[self.statistics], strict=True))

    @property
    def augmentation(self) -> Augmentation:
        """What training images and their labels go through."""
        rand_augment = mixing = erasing = None
        if self.rand_augment != NOT_USED:
            rand_augment = parse_rand_augment(self.rand_augment)
        if self.mixup or self.cutmix:
            mixing = MixupConfig(
                mixup_alpha=self.mixup,
                cutmix_alpha=self.cutmix,
                probability=self.mixup_prob,
                switch_probability=self.mixup_switch_prob,
            )
        if self.erasing:
            erasing = RandomErasingConfig(probability=self.erasing, mode=self.erasing_mode)
        return dataclasses.replace(
            AUGMENTATIONS[self.augment],
            rand_augment=rand_augment,
            color_jitter=self.color_jitter,
            mixing=mixing,
            erasing=erasing,
            smoothing=self.smoothing,
        )

    def _check_size(self) -> None:
        size = self.image_size
        pair = isinstance(size, tuple) and len(size) == 2
        if not pair or not all(isinstance(side, int) and side >= 1 for side in size):
            raise ValueError(
                f"`image_size` must be (height, width) in whole pixels. Received: image_size={size}"
            )

    def _check_numbers(self) -> None:
        for name in ("batch_size", "epochs", "log_every"):
            require(self, name, getattr(self, name) >= 1, "at least 1")
        for name in ("warmup_epochs", "cooldown_epochs", "seed", "save_every", "patience"):
            require(self, name, getattr(self, name) >= 0, "at least 0")
        for name in ("min_lr", "warmup_lr", "weight_decay", "color_jitter", "mixup", "cutmix"):
            require(self, name, 0 <= getattr(self, name) < math.inf, "at least 0 and finite")
        require(self, "lr", 0 < self.lr < math.inf, "above 0 and finite")
        for name in ("min_lr", "warmup_lr"):
            require(self, name, getattr(self, name) <= self.lr, f"at most `lr`, {self.lr}")
        require(self, "crop_pct", 0 < self.crop_pct <= 1, "in (0, 1]")
        for name in ("erasing", "mixup_prob", "mixup_switch_prob"):
            require(self, name, 0 <= getattr(self, name) <= 1, "in [0, 1]")
        shares = ("drop_path_rate", "smoothing", "held_out", "validation_split")
        for name in (*shares, "max_bad_fraction"):
            require(self, name, 0 <= getattr(self, name) < 1, "in [0, 1)")

    def _check_steps(self) -> None:
        require(self, "optimizer", self.optimizer in OPTIMIZERS, f"one of {', '.join(OPTIMIZERS)}")
        for name in ("lr_cycle_mul", "lr_cycle_limit", "accumulate"):
            require(self, name, 1 <= getattr(self, name) < math.inf, "at least 1")
        require(self, "lr_cycle_decay", 0 < self.lr_cycle_decay <= 1, "in (0, 1]")
        require(self, "ema_decay", 0 <= self.ema_decay < 1, "in [0, 1)")
        clips = self.clip_grad is None or 0 < self.clip_grad < math.inf
        require(self, "clip_grad", clips, "above 0 and finite, or None")

    def _check_transfer(self) -> None:
        ratio = self.backbone_lr_ratio
        require(self, "backbone_lr_ratio", 0 < ratio < math.inf, "above 0 and finite")
        require(self, "layer_decay", 0 < self.layer_decay <= 1, "in (0, 1]")
        digits = isinstance(self.freeze, str) and self.freeze.isascii() and self.freeze.isdecimal()
        number = digits and int(self.freeze) > 0
        known = self.freeze in (NOT_USED, BACKBONE) or number
        require(self, "freeze", known, "none, backbone or a number of blocks above 0, as text")
        for name in ("transfer", "freeze"):
            if getattr(self, name) not in (False, NOT_USED) and self.weights is None:
                raise ValueError(
                    f"`weights` must be given beside `{name}`: imagenet or a file, to start from. "
                    f"Received: {name}={getattr(self, name)}"
                )
        plain = dataclasses.replace(AUGMENTATIONS["none"], smoothing=self.smoothing)
        if self.freeze == BACKBONE and self.augmentation != plain:
            raise ValueError(
                "`augment` and `rand_augment` must be none, and `color_jitter`, `erasing`, `mixup` "
                "and `cutmix` 0, beside `freeze=backbone`: features are computed once. Received: "
                f"augment={self.augment}"
            )
