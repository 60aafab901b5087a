"""Every flag file under `configs/` is a run that the authors describe; its model can be built."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from t2t_keras import Variant
from t2t_keras.cli.flags import given_settings, parse
from t2t_keras.data.settings import AUGMENTATIONS
from t2t_keras.training import TrainConfig, make_config, model_names, train, variant_of
from t2t_keras.training.inputs import augmentation_of
from t2t_keras.training.model import build_model, precision
from tests.support.images import make_archive

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "configs").iterdir())
# The authors' README: learning rate and weight decay of each model, at 512 images a batch.
AUTHORS = {
    **{f"t2t_vit_{name}": (1e-3, 0.03) for name in ("7", "10", "12")},
    **{f"t2t_vit_{name}": (5e-4, 0.05) for name in ("14", "14_384", "t_14")},
    **{f"t2t_vit_{name}": (5e-4, 0.065) for name in ("19", "24", "t_19", "t_24")},
}

CIFAR = {
    f"cifar{classes}_t2t_vit_{blocks}": (f"cifar{classes}", f"t2t_vit_{blocks}")
    for classes in (10, 100)
    for blocks in (14, 19)
}


@pytest.fixture(scope="module")
def settings() -> dict[str, dict]:
    """The settings in each file, as `train_keras.py` reads them."""
    return {path.stem: given_settings(parse("train", [f"--flagfile={path}"])[0]) for path in FILES}


@pytest.fixture(scope="module")
def configs(settings) -> dict[str, TrainConfig]:
    return {name: make_config(**given) for name, given in settings.items()}


def shallow(model: str) -> Variant:
    """With one block in the encoder: a whole one takes seconds to build, and more to train."""
    return dataclasses.replace(variant_of(model), depth=1)


def test_every_command_of_the_authors_has_a_file(configs):
    assert configs.keys() == AUTHORS.keys() | {"t2t_vit_14_384_finetune", *CIFAR}
    assert {path.suffix for path in FILES} == {".flags"}


@pytest.mark.parametrize("name", AUTHORS)
def test_the_settings_of_a_file_and_of_its_model_s_recipe_are_the_authors(name, configs):
    model = name.removesuffix("_384")
    for config in (configs[name], make_config(dataset="imagenet2012", model=model)):
        assert (config.lr, config.weight_decay) == AUTHORS[name]
        assert (config.batch_size, config.smoothing, config.drop_path_rate) == (512, 0.1, 0.1)
        assert (config.epochs, config.warmup_epochs, config.cooldown_epochs) == (300, 10, 10)
        assert (config.min_lr, config.warmup_lr, config.seed) == (1e-5, 1e-6, 42)
        assert (config.crop_pct, config.augment) == (0.9, "crop_flip")
        assert (config.rand_augment, config.color_jitter) == ("rand-m9-mstd0.5-inc1", 0.4)
        assert (config.erasing, config.erasing_mode) == (0.25, "pixel")
        assert (config.mixup, config.cutmix) == (0.8, 1.0)
        assert (config.mixup_prob, config.mixup_switch_prob) == (1.0, 0.5)
    assert config.image_size == (224, 224)
    config = configs[name]
    assert (config.model, config.dataset) == (model, "imagenet2012")
    assert config.image_size == ((384, 384) if name.endswith("_384") else (224, 224))
    assert (config.optimizer, config.ema_decay) == ("adamw", 0.99996)
    assert (config.precision, config.weights) == ("float16", None)


@pytest.mark.parametrize("name", CIFAR)
def test_cifar_is_transferred_to_as_the_authors_do(name, configs):
    config = configs[name]
    assert (config.dataset, config.model) == CIFAR[name]
    assert (config.transfer, config.weights, config.statistics) == (True, "imagenet", "cifar")
    assert (config.batch_size, config.epochs, config.image_size) == (64, 60, (224, 224))
    assert (config.lr, config.min_lr, config.backbone_lr_ratio) == (0.05, 2e-4, 0.01)
    assert (config.warmup_epochs, config.cooldown_epochs, config.smoothing) == (0, 0, 0.0)
    assert (config.optimizer, config.weight_decay, config.drop_path_rate) == ("sgd", 5e-4, 0.1)
    assert (config.nesterov, config.decay_all, config.crop_pct) == (False, True, 1.0)
    assert augmentation_of(config) == AUGMENTATIONS["pad_flip"]


def test_the_larger_size_starts_from_the_released_weights(configs):
    config = configs["t2t_vit_14_384_finetune"]
    assert (config.weights, config.image_size, config.crop_pct) == ("imagenet", (384, 384), 1.0)
    assert (config.epochs, config.lr, config.min_lr) == (30, 5e-6, 5e-6)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_its_model_can_be_built(path, configs):
    config = configs[path.stem]
    assert config.model in model_names()
    with precision(config.precision):
        shorter = dataclasses.replace(config, model=shallow(config.model))
        model = build_model(shorter, 1000, None, config.drop_path_rate)
    assert model.input_shape == (None, *config.image_size, 3)
    assert model.output_shape == (None, 1000)


def test_imagenet_trains_from_a_file(settings, tmp_path):
    """All of the recipe on 40 images in ImageNet's folders; only sizes are smaller."""
    images = make_archive(tmp_path / "imagenet", {"n01440764": 16, "n01443537": 16}, evaluation=8)
    smaller = {"batch_size": 8, "image_size": (64, 64), "epochs": 1, "devices": ("cpu:0",)}
    given = {**settings["t2t_vit_7"], "dataset": str(images), **smaller}
    config = make_config(**given)
    whole = make_config(**settings["t2t_vit_7"])
    assert augmentation_of(config) == augmentation_of(whole)
    assert (config.precision, config.ema_decay) == ("float16", 0.99996)
    assert (config.mixup, config.cutmix) == (0.8, 1.0)
    result = train(dataclasses.replace(config, model=shallow(config.model)), tmp_path / "run")
    assert (result.sources.training.num_train, result.scores.images) == (32, 8)
    assert np.isfinite(list(result.history.values())).all()
    assert result.history.keys() >= {"loss", "val_top5_accuracy", "val_ema_loss"}
    assert {weight.dtype for weight in result.model.weights} == {"float32"}
