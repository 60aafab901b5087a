import dataclasses

import mypy.api
import pytest

from t2t_keras.data.settings import (
    AUGMENTATIONS,
    ERASING_MODES,
    ON_BAD_IMAGE,
    Augmentation,
    MixupConfig,
    RandAugmentConfig,
    RandomErasingConfig,
)
from t2t_keras.images.constants import DEFAULT_CROP_PCT, STATISTICS
from t2t_keras.training import TrainConfig, make_config
from t2t_keras.training.config import settings
from t2t_keras.training.inputs import augmentation_of
from t2t_keras.training.recipes import defaults_of

GOOD = make_config()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0),
        ("batch_size", 1.5),
        ("mixup", "0.8"),
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


def test_held_out_images_need_the_own_splits_of_a_dataset():
    with pytest.raises(ValueError, match="`held_out` must be 0 beside"):
        dataclasses.replace(GOOD, validation_split=0.1)


def test_a_rand_augment_that_cannot_be_read_is_refused():
    with pytest.raises(ValueError, match="RandAugment's .*Received: 'rand-m9-x1'"):
        dataclasses.replace(GOOD, rand_augment="rand-m9-x1")


def test_the_augmentation_is_what_the_settings_say():
    assert augmentation_of(GOOD) == dataclasses.replace(AUGMENTATIONS["light"], smoothing=0.1)
    config = make_config(dataset="cifar10", mixup=0.0, mixup_prob=0.5, erasing_mode="rand")
    assert augmentation_of(config) == Augmentation(
        rand_augment=RandAugmentConfig(magnitude=9, magnitude_std=0.5, increasing=True),
        color_jitter=0.4,
        mixing=MixupConfig(mixup_alpha=0.0, cutmix_alpha=1.0, probability=0.5),
        erasing=RandomErasingConfig(probability=0.25, mode="rand"),
        smoothing=0.1,
    )
    off = {"rand_augment": "none", "color_jitter": 0.0, "erasing": 0.0, "mixup": 0.0, "cutmix": 0.0}
    plain = make_config(dataset="cifar10", smoothing=0.0, **off)
    assert augmentation_of(plain) == AUGMENTATIONS["crop_flip"]


def test_a_transfer_starts_from_weights():
    for given in ({"transfer": True}, {"freeze": "2"}, {"freeze": "backbone"}):
        with pytest.raises(ValueError, match="`weights` must be given beside"):
            make_config(dataset="cifar10", **given)


def test_features_that_are_computed_once_are_not_augmented():
    probe = {"dataset": "cifar10", "weights": "imagenet", "freeze": "backbone"}
    assert augmentation_of(make_config(**probe, model="t2t_vit_7")).crop == "none"
    with pytest.raises(ValueError, match="beside `freeze=backbone`"):
        make_config(**probe, model="t2t_vit_7", mixup=0.2)


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        GOOD.epochs = 1
    assert isinstance(GOOD, TrainConfig)


def test_every_setting_has_a_type_a_help_text_and_a_default_in_its_range():
    for setting in settings():
        assert setting.type in (bool, int, float, str, tuple)
        assert setting.help.endswith(".") and "default" not in setting.help
        if setting.default is not None:
            setting.check(setting.default)
    by_name = {setting.name: setting for setting in settings()}
    assert list(by_name) == [field.name for field in dataclasses.fields(TrainConfig)]
    assert (by_name["clip_grad"].type, by_name["clip_grad"].optional) == (float, True)
    assert (by_name["model"].type, by_name["devices"].type) == (str, tuple)
    assert (by_name["smoothing"].expected, by_name["lr"].expected) == (
        "in [0, 1)",
        "above 0 and finite",
    )


def test_choices_and_defaults_are_those_of_the_other_rooms():
    by_name = {setting.name: setting for setting in settings()}
    assert by_name["augment"].choices == tuple(AUGMENTATIONS)
    assert by_name["erasing_mode"].choices == ERASING_MODES
    assert by_name["on_bad_image"].choices == ON_BAD_IMAGE
    assert by_name["statistics"].choices == tuple(STATISTICS)
    assert by_name["crop_pct"].default == DEFAULT_CROP_PCT


def test_the_defaults_of_a_setting_are_those_that_a_run_takes():
    assert defaults_of("batch_size") == {"": 512, "digits": 64, "transfer": 64}
    assert defaults_of("seed") == {"": 42}
    expected = {"": 5e-4, "digits": 2e-3, "transfer": 0.05, "transfer with adamw": 5e-4}
    assert defaults_of("lr") == expected
    given = {"dataset": "images", "model": "t2t_vit_14", "weights": "imagenet"}
    runs = {
        "": make_config(**given),
        "digits": make_config(),
        "transfer": make_config(**given, transfer=True),
        "transfer with adamw": make_config(**given, transfer=True, optimizer="adamw"),
    }
    for setting in settings():
        if setting.name not in ("dataset", "model", "image_size", *given, "transfer", "optimizer"):
            for words, value in defaults_of(setting.name).items():
                assert getattr(runs[words], setting.name) == value, (setting.name, words)


def test_a_name_that_is_no_setting_is_an_error_to_a_type_checker(tmp_path):
    (tmp_path / "user.py").write_text(
        "from t2t_keras.training.recipes import make_config\n"
        "make_config(epochs=3, image_size=(32, 32), devices=('cpu:0',), lr=1)\n"
        "make_config(epoch=3)\n"
        "make_config(epochs='3')\n"
    )
    options = ["--follow-imports=silent", "--ignore-missing-imports", "--cache-dir", str(tmp_path)]
    text, _, code = mypy.api.run([*options, str(tmp_path / "user.py")])
    assert code == 1
    assert 'user.py:3: error: Unexpected keyword argument "epoch"' in text
    assert 'user.py:4: error: Argument "epochs"' in text
    assert "user.py:2" not in text
