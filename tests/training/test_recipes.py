import json

import pytest

from t2t_keras import VARIANTS, Variant
from t2t_keras.training import make_config, model_names, settings_of, variant_of


def test_without_a_word_the_digits_are_trained():
    config = make_config()
    assert (config.dataset, config.model) == ("digits", "t2t_vit_digits")
    assert config.image_size == (variant_of("t2t_vit_digits").image_size,) * 2
    assert config.held_out > 0


def test_what_is_given_counts_and_none_is_not_given():
    config = make_config(epochs=3, lr=0.25, seed=None, image_size=(32, 48))
    assert (config.epochs, config.lr, config.seed, config.image_size) == (3, 0.25, 42, (32, 48))
    assert make_config(image_size=48).image_size == (48, 48)


def test_a_model_by_another_spelling_or_by_its_sizes_has_its_recipe():
    plain = make_config(dataset="cifar10", model="t2t_vit_7")
    assert make_config(dataset="cifar10", model="T2T_ViT_7") == plain
    by_sizes = make_config(dataset="cifar10", model=VARIANTS["t2t_vit_7"])
    assert (by_sizes.lr, by_sizes.weight_decay) == (plain.lr, plain.weight_decay) == (1e-3, 0.03)


def test_a_low_rate_lowers_the_rates_below_it():
    config = make_config(lr=1e-7)
    assert config.min_lr == config.warmup_lr == 1e-7
    with pytest.raises(ValueError, match="`min_lr` must be at most `lr`"):
        make_config(lr=1e-7, min_lr=1e-6)


def test_a_short_run_has_a_short_warm_up_and_cool_down():
    assert make_config(epochs=1).warmup_epochs == 0
    assert make_config(epochs=6).warmup_epochs == 3
    assert make_config(dataset="cifar10", epochs=30).cooldown_epochs == 3
    assert make_config(dataset="cifar10", epochs=9).cooldown_epochs == 0
    with pytest.raises(ValueError, match="warmup_epochs=5"):
        make_config(epochs=4, warmup_epochs=5)


def test_every_variant_can_be_reached():
    assert set(VARIANTS) < set(model_names())
    for name in model_names():
        assert make_config(model=name, dataset="cifar10").image_size[0] in (16, 224)


def test_an_unknown_model_brings_near_ones():
    with pytest.raises(ValueError, match=r"t2t_vit_14.*Received: model=t2t_vit_41"):
        make_config(model="t2t_vit_41")


def test_sizes_of_one_s_own_are_a_model():
    own = Variant(embed_dim=16, depth=1, num_heads=1, mlp_ratio=1.0, image_size=32)
    config = make_config(model=own)
    assert variant_of(config.model) is own and config.image_size == (32, 32)
    assert json.loads(json.dumps(settings_of(config)))["model"]["embed_dim"] == 16


def test_a_transfer_by_adamw_has_rates_that_fall_from_block_to_block():
    given = {"dataset": "images", "weights": "imagenet", "transfer": True}
    config = make_config(**given, optimizer="adamw")
    assert (config.layer_decay, config.backbone_lr_ratio, config.decay_all) == (0.75, 1.0, False)
    assert (config.epochs, config.batch_size, config.warmup_epochs) == (60, 64, 5)
    assert make_config(**given).optimizer == "sgd"
    assert make_config(**given, lr=1e-4).min_lr == 1e-4
