import dataclasses

import pytest

from t2t_keras.data import (
    AUGMENTATIONS,
    Augmentation,
    MixupConfig,
    RandAugmentConfig,
    RandomErasingConfig,
)
from t2t_keras.training import TrainConfig, make_config

GOOD = make_config()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0),
        ("epochs", 0),
        ("warmup_epochs", -1),
        ("cooldown_epochs", -1),
        ("warmup_epochs", 41),
        ("seed", -1),
        ("lr", 0.0),
        ("lr", float("nan")),
        ("lr", float("inf")),
        ("min_lr", -1e-9),
        ("weight_decay", float("nan")),
        ("drop_path_rate", 1.0),
        ("smoothing", 1.0),
        ("held_out", 1.0),
        ("validation_split", -0.1),
        ("crop_pct", 0.0),
        ("crop_pct", 1.1),
        ("precision", "float64"),
        ("monitor", "loss"),
        ("augment", "heavy"),
        ("color_jitter", -0.1),
        ("erasing", 1.1),
        ("erasing_mode", "black"),
        ("on_bad_image", "ignore"),
        ("max_bad_fraction", 1.0),
        ("mixup", -0.1),
        ("cutmix", float("nan")),
        ("mixup_prob", 2.0),
        ("mixup_switch_prob", -1.0),
        ("warmup_lr", 1.0),
        ("lr_cycle_mul", 0.5),
        ("lr_cycle_limit", 0),
        ("lr_cycle_decay", 0.0),
        ("optimizer", "adam"),
        ("clip_grad", 0.0),
        ("ema_decay", 1.0),
        ("accumulate", 0),
        ("backbone_lr_ratio", 0.0),
        ("layer_decay", 1.1),
        ("freeze", "0"),
        ("freeze", "head"),
        ("class_weight", "rare"),
        ("patience", -1),
        ("statistics", "mine"),
        ("image_size", 224),
        ("image_size", (16,)),
        ("image_size", (16, 0)),
        ("image_size", (16.0, 16.0)),
    ],
)
def test_a_setting_out_of_range_is_named(name, value):
    with pytest.raises(ValueError, match=rf"`{name}` must be .*Received: {name}="):
        dataclasses.replace(GOOD, **{name: value})


def test_held_out_images_need_the_data_set_s_own_splits():
    with pytest.raises(ValueError, match="`held_out` must be 0 beside"):
        dataclasses.replace(GOOD, validation_split=0.1)


def test_a_rand_augment_that_cannot_be_read_is_refused():
    with pytest.raises(ValueError, match="RandAugment's .*Received: 'rand-m9-x1'"):
        dataclasses.replace(GOOD, rand_augment="rand-m9-x1")


def test_the_augmentation_is_what_the_settings_say():
    assert GOOD.augmentation == dataclasses.replace(AUGMENTATIONS["light"], smoothing=0.1)
    config = make_config(dataset="cifar10", mixup=0.0, mixup_prob=0.5, erasing_mode="rand")
    assert config.augmentation == Augmentation(
        rand_augment=RandAugmentConfig(magnitude=9, magnitude_std=0.5, increasing=True),
        color_jitter=0.4,
        mixing=MixupConfig(mixup_alpha=0.0, cutmix_alpha=1.0, probability=0.5),
        erasing=RandomErasingConfig(probability=0.25, mode="rand"),
        smoothing=0.1,
    )
    off = {"rand_augment": "none", "color_jitter": 0.0, "erasing": 0.0, "mixup": 0.0, "cutmix": 0.0}
    plain = make_config(dataset="cifar10", smoothing=0.0, **off)
    assert plain.augmentation == AUGMENTATIONS["crop_flip"]


def test_a_transfer_starts_from_weights():
    for given in ({"transfer": True}, {"freeze": "2"}, {"freeze": "backbone"}):
        with pytest.raises(ValueError, match="`weights` must be given beside"):
            make_config(dataset="cifar10", **given)


def test_features_that_are_computed_once_are_not_augmented():
    probe = {"dataset": "cifar10", "weights": "imagenet", "freeze": "backbone"}
    assert make_config(**probe, model="t2t_vit_7").augmentation.crop == "none"
    with pytest.raises(ValueError, match="beside `freeze=backbone`"):
        make_config(**probe, model="t2t_vit_7", mixup=0.2)


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        GOOD.epochs = 1
    assert isinstance(GOOD, TrainConfig)
