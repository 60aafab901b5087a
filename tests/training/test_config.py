import dataclasses

import pytest

from t2t_keras.data.settings import AUGMENTATIONS, Augmentation, RandAugmentConfig, Setting
from t2t_keras.training import TrainConfig, make_config
from t2t_keras.training.config import settings
from t2t_keras.training.inputs import augmentation_of

GOOD = make_config()


def outside(setting: Setting) -> list:
    """Values that are not a setting's: beyond each end, of another kind, or no choice."""
    if setting.choices:
        return ["other"]
    if setting.type not in (int, float):
        return []
    if setting.type is int:
        return [setting.at_least - 1, 1.5, "1"]
    low = max(setting.above, setting.at_least - 1e-9)
    high = min(setting.below, setting.at_most + 1e-9)
    return [low, high, float("nan"), float("inf"), "1"]


OUTSIDE = [(setting.name, value) for setting in settings() for value in outside(setting)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *OUTSIDE,
        ("warmup_epochs", 41),
        ("warmup_lr", 1.0),
        ("freeze", "0"),
        ("freeze", "head"),
        ("image_size", 224),
        ("image_size", (16,)),
        ("image_size", (16, 0)),
        ("image_size", (16.0, 16.0)),
    ],
)
def test_a_setting_out_of_range_is_named(name, value):
    with pytest.raises(ValueError, match=rf"`{name}` must be .*Received: {name}="):
        dataclasses.replace(GOOD, **{name: value})


PROBE = {"dataset": "cifar10", "model": "t2t_vit_7", "weights": "imagenet", "freeze": "backbone"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"validation_split": 0.1}, "`held_out` must be 0 with"),
        ({"rand_augment": "rand-m9-x1"}, "'x1' does not fit. Received: 'rand-m9-x1'"),
        ({"dataset": "cifar10", "transfer": True}, "`weights` must be given with"),
        ({"dataset": "cifar10", "freeze": "2"}, "`weights` must be given with"),
        ({"dataset": "cifar10", "freeze": "backbone"}, "`weights` must be given with"),
        ({**PROBE, "mixup": 0.2}, "with `freeze=backbone`"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        make_config(**fields)


def test_the_augmentation_is_what_the_settings_say():
    assert augmentation_of(GOOD) == dataclasses.replace(AUGMENTATIONS["light"], smoothing=0.1)
    config = make_config(dataset="cifar10", mixup=0.0, mixup_prob=0.5, erasing_mode="rand")
    assert augmentation_of(config) == Augmentation(
        rand_augment=RandAugmentConfig(magnitude=9, magnitude_std=0.5, increasing=True),
        color_jitter=0.4,
        erasing=0.25,
        erasing_mode="rand",
        cutmix=1.0,
        mixup_prob=0.5,
        smoothing=0.1,
    )
    off = {"rand_augment": "none", "color_jitter": 0.0, "erasing": 0.0, "mixup": 0.0, "cutmix": 0.0}
    plain = make_config(dataset="cifar10", smoothing=0.0, **off)
    assert augmentation_of(plain) == AUGMENTATIONS["crop_flip"]
    assert augmentation_of(make_config(**PROBE)).crop == "none"


def test_every_setting_is_frozen_has_a_type_a_help_text_and_a_default_in_its_range():
    for setting in settings():
        assert setting.type in (bool, int, float, str, tuple)
        assert setting.help.endswith(".") and "default" not in setting.help
        if setting.default is not None:
            setting.check(setting.default)
    with pytest.raises(dataclasses.FrozenInstanceError):
        GOOD.epochs = 1
    by_name = {setting.name: setting for setting in settings()}
    assert list(by_name) == [field.name for field in dataclasses.fields(TrainConfig)]
    assert (by_name["clip_grad"].type, by_name["clip_grad"].optional) == (float, True)
    assert (by_name["model"].type, by_name["devices"].type) == (str, tuple)
    expected = [by_name[name].expected for name in ("smoothing", "lr")]
    assert expected == ["in [0, 1)", "above 0 and finite"]
