"""What a run does where nothing else is asked for: the authors' settings, and the digits'."""

import dataclasses
import difflib
from typing import Any

from t2t_keras.images.resize import target_size
from t2t_keras.training.config import BACKBONE, NOT_USED, TrainConfig
from t2t_keras.variants import VARIANTS, Variant, published_name

DIGITS = "digits"
DIGITS_MODEL = "t2t_vit_digits"

# Two CPU cores train it on the digits in minutes. Beside `VARIANTS`, which are the published ones.
SMALL_VARIANTS = {
    DIGITS_MODEL: Variant(
        embed_dim=64,
        depth=4,
        num_heads=4,
        mlp_ratio=2.0,
        token_dim=32,
        soft_splits=((3, 2, 1), (3, 1, 1), (3, 2, 1)),
        image_size=16,
    ),
}
_DEFAULT_MODEL = "t2t_vit_7"

_AUTHORS = {
    "lr": 5e-4,
    "weight_decay": 0.05,
    "batch_size": 512,
    "epochs": 300,
    "warmup_epochs": 10,
    "cooldown_epochs": 10,
    "drop_path_rate": 0.1,
    "augment": "crop_flip",
    "rand_augment": "rand-m9-mstd0.5-inc1",
    "color_jitter": 0.4,
    "erasing": 0.25,
    "mixup": 0.8,
    "cutmix": 1.0,
}
_LITE = {"lr": 1e-3, "weight_decay": 0.03}
_DEEP = {"weight_decay": 0.065}
_BY_MODEL = {
    "t2t_vit_7": _LITE,
    "t2t_vit_10": _LITE,
    "t2t_vit_12": _LITE,
    "t2t_vit_19": _DEEP,
    "t2t_vit_24": _DEEP,
    "t2t_vit_t_19": _DEEP,
    "t2t_vit_t_24": _DEEP,
}
_DIGITS = {
    "lr": 2e-3,
    "weight_decay": 0.05,
    "batch_size": 64,
    "epochs": 40,
    "warmup_epochs": 5,
    "cooldown_epochs": 0,
    "drop_path_rate": 0.0,
    "augment": "light",
    "crop_pct": 1.0,  # they fill their images
    "held_out": 0.1,
    "jit_compile": True,  # on a CPU twice as fast, after a longer first epoch
    "monitor": "val_loss",  # the accuracy of 144 images is too coarse to choose by
}

_PLAIN = {
    "rand_augment": NOT_USED,
    "color_jitter": 0.0,
    "erasing": 0.0,
    "mixup": 0.0,
    "cutmix": 0.0,
}
# The authors' for CIFAR. Their lowest rate lies above the backbone's own; here it is multiplied by
# the backbone's ratio as every rate is.
_TRANSFER = {
    **_PLAIN,
    "batch_size": 64,
    "epochs": 60,
    "warmup_epochs": 0,
    "cooldown_epochs": 0,
    "drop_path_rate": 0.1,
    "augment": "pad_flip",
    "crop_pct": 1.0,
    "smoothing": 0.0,
}
_TRANSFER_BY_OPTIMIZER = {
    "sgd": {
        "lr": 0.05,
        "min_lr": 2e-4,
        "weight_decay": 5e-4,
        "backbone_lr_ratio": 0.01,
        "decay_all": True,
        "nesterov": False,
    },
    "adamw": {"lr": 5e-4, "weight_decay": 0.05, "layer_decay": 0.75, "warmup_epochs": 5},
}


def model_names() -> list[str]:
    """Every name `variant_of` takes."""
    return [*SMALL_VARIANTS, *VARIANTS]


def variant_of(model: str | Variant) -> Variant:
    """The sizes of a model given by name, or as sizes of one's own.

    Raises:
        ValueError: No model has that name; the message lists those that come near.
    """
    if isinstance(model, Variant):
        return model
    found = SMALL_VARIANTS.get(model.lower()) or VARIANTS.get(model.lower())
    if found is None:
        near = difflib.get_close_matches(model.lower(), model_names(), n=3) or model_names()
        raise ValueError(
            f"`model` must be a model's name, such as {', '.join(near)}. Received: model={model}"
        )
    return found


def recipe(dataset: str, model: str | Variant) -> dict[str, Any]:
    """The settings that depend on the dataset and the model."""
    if dataset == DIGITS:
        return dict(_DIGITS)
    return {**_AUTHORS, **_BY_MODEL.get(published_name(variant_of(model)), {})}


def transfer_recipe(dataset: str, optimizer: str, freeze: str) -> dict[str, Any]:
    """The settings of a transfer, over those of the dataset.

    Args:
        dataset: As `TrainConfig` has it.
        optimizer: The same; "sgd" is the authors'.
        freeze: The same.
    """
    settings = {**_TRANSFER, "optimizer": optimizer, **_TRANSFER_BY_OPTIMIZER.get(optimizer, {})}
    if freeze == BACKBONE:
        settings["augment"] = NOT_USED
    elif dataset == DIGITS:  # in a mirror they are none
        settings["augment"] = _DIGITS["augment"]
    return settings


def make_config(**given: Any) -> TrainConfig:
    """The settings of a run: what is given, the rest from the recipe for its dataset and model.

    Args:
        **given: Fields of `TrainConfig`; None stands for the recipe's value.

    Raises:
        ValueError: A setting is out of range, or there is no such model.
    """
    given = {name: value for name, value in given.items() if value is not None}
    dataset = given.setdefault("dataset", DIGITS)
    model = given.setdefault("model", DIGITS_MODEL if dataset == DIGITS else _DEFAULT_MODEL)
    if isinstance(model, str):
        given["model"] = model.lower()
    given["image_size"] = target_size(given.get("image_size", variant_of(model).image_size))
    settings = recipe(dataset, model)
    freeze = given.get("freeze", NOT_USED)
    if given.get("transfer"):
        settings |= transfer_recipe(dataset, given.get("optimizer", "sgd"), freeze)
    elif freeze == BACKBONE:
        settings |= {**_PLAIN, "augment": NOT_USED}
    settings |= given
    # A short run, or a low rate, has no room for the recipe's warm-up, cool-down and lowest rates.
    fitting = {
        "warmup_epochs": min(settings["warmup_epochs"], settings["epochs"] // 2),
        "cooldown_epochs": min(settings["cooldown_epochs"], settings["epochs"] // 10),
        "min_lr": min(settings.get("min_lr", TrainConfig.min_lr), settings["lr"]),
        "warmup_lr": min(TrainConfig.warmup_lr, settings["lr"]),
    }
    return TrainConfig(**{**settings, **fitting, **given})


def settings_of(config: TrainConfig) -> dict[str, Any]:
    """Every setting as JSON can hold it."""
    return dataclasses.asdict(config)
