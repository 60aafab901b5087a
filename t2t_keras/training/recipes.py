"""The recipes: the settings of a run that are not given, as data.

The fields of `TrainConfig` hold the authors' values for T2T-ViT-14; a recipe holds the differences.
Importing this module loads neither Keras nor TensorFlow.
"""

import dataclasses
import difflib
import json
import numbers
import os
from collections.abc import Callable
from typing import Any, ParamSpec

from t2t_keras.training.config import BACKBONE, DIGITS, NOT_USED, TrainConfig, settings
from t2t_keras.variants import VARIANTS, Variant, published_name

DIGITS_MODEL = "t2t_vit_digits"
DEFAULT_MODEL = "t2t_vit_7"

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

Settings = dict[str, Any]  # fields of `TrainConfig`

_LITE = {"lr": 1e-3, "weight_decay": 0.03}
_DEEP = {"weight_decay": 0.065}
_BY_MODEL: dict[str | None, Settings] = {
    "t2t_vit_7": _LITE,
    "t2t_vit_10": _LITE,
    "t2t_vit_12": _LITE,
    "t2t_vit_19": _DEEP,
    "t2t_vit_24": _DEEP,
    "t2t_vit_t_19": _DEEP,
    "t2t_vit_t_24": _DEEP,
}
_NOT_AUGMENTED: Settings = {
    "rand_augment": NOT_USED,
    "color_jitter": 0.0,
    "erasing": 0.0,
    "mixup": 0.0,
    "cutmix": 0.0,
}
_DIGITS: Settings = {
    **_NOT_AUGMENTED,
    "lr": 2e-3,
    "batch_size": 64,
    "epochs": 40,
    "warmup_epochs": 5,
    "cooldown_epochs": 0,
    "drop_path_rate": 0.0,
    "augment": "light",
    "crop_pct": 1.0,  # the digits fill their images
    "held_out": 0.1,
    "jit_compile": True,  # on a CPU twice as fast, after a longer first epoch
    "monitor": "val_loss",  # the accuracy of 144 images is too coarse to choose by
}
# The authors' for CIFAR. Their lowest rate is above the backbone's own; here it is multiplied by
# the backbone's ratio as every rate is.
_TRANSFER: Settings = {
    **_NOT_AUGMENTED,
    "batch_size": 64,
    "epochs": 60,
    "warmup_epochs": 0,
    "cooldown_epochs": 0,
    "drop_path_rate": 0.1,
    "augment": "pad_flip",
    "crop_pct": 1.0,
    "smoothing": 0.0,
    "optimizer": "sgd",
}
_TRANSFER_BY_OPTIMIZER: dict[str, Settings] = {
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
_LINEAR_PROBE: Settings = {**_NOT_AUGMENTED, "augment": NOT_USED}  # features are computed once


def model_names() -> list[str]:
    """Every name that `variant_of` takes."""
    return [*SMALL_VARIANTS, *VARIANTS]


def variant_of(model: str | Variant) -> Variant:
    """Returns the sizes of a model given by name, or as sizes of one's own.

    Args:
        model: A name in `model_names()`, in any case, or the sizes themselves.

    Raises:
        ValueError: No model has that name; the message lists similar ones.
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


def _recipe(given: Settings) -> Settings:
    """The settings that the dataset, the model and the way to train change."""
    model = published_name(variant_of(given["model"]))
    changes = dict(_DIGITS if given["dataset"] == DIGITS else _BY_MODEL.get(model, {}))
    if given.get("transfer"):
        changes |= _TRANSFER | _TRANSFER_BY_OPTIMIZER.get(given.get("optimizer", "sgd"), {})
        if given["dataset"] == DIGITS:
            changes["augment"] = _DIGITS["augment"]  # mirrored digits are no digits
    return changes | (_LINEAR_PROBE if given.get("freeze") == BACKBONE else {})


_Parameters = ParamSpec("_Parameters")


def _with_parameters_of(
    model: Callable[_Parameters, TrainConfig],
) -> Callable[[Callable[..., TrainConfig]], Callable[_Parameters, TrainConfig]]:
    """Tells type checkers that a function takes what `model` takes, so that it is listed once."""
    return lambda function: function


@_with_parameters_of(TrainConfig)
def make_config(**given: Any) -> TrainConfig:
    """Returns the settings of a run: those given, and the recipe's for its dataset and model.

    Args:
        **given: Fields of `TrainConfig`; None stands for the recipe's value. `image_size` may be
            one side in pixels.

    Raises:
        ValueError: A setting is out of range, or there is no such model.
    """
    given = {name: value for name, value in given.items() if value is not None}
    dataset = given.setdefault("dataset", DIGITS)
    model = given.setdefault("model", DIGITS_MODEL if dataset == DIGITS else DEFAULT_MODEL)
    if isinstance(model, str):
        given["model"] = model.lower()
    given["image_size"] = _pair(given.get("image_size", variant_of(model).image_size))
    defaults = {each.name: each.default for each in settings()}
    made = {**defaults, **_recipe(given), **given}
    # A short run, or a low rate, has no room for the recipe's warm-up, cool-down and lowest rates.
    fitting = {
        "warmup_epochs": min(made["warmup_epochs"], made["epochs"] // 2),
        "cooldown_epochs": min(made["cooldown_epochs"], made["epochs"] // 10),
        "min_lr": min(made["min_lr"], made["lr"]),
        "warmup_lr": min(made["warmup_lr"], made["lr"]),
    }
    return TrainConfig(**{**made, **fitting, **given})


def _pair(size: Any) -> Any:
    """One side as (height, width); anything else as it is, for `TrainConfig` to check."""
    if isinstance(size, numbers.Integral):
        return int(size), int(size)
    whole = isinstance(size, tuple | list) and all(isinstance(s, numbers.Integral) for s in size)
    return tuple(map(int, size)) if whole else size


def settings_of(config: TrainConfig) -> dict[str, Any]:
    """Returns every setting as it comes back from JSON."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=os.fspath))
