import dataclasses
import math

import pytest

from t2t_keras.data.settings import (
    Augmentation,
    MixupConfig,
    RandAugmentConfig,
    RandomErasingConfig,
    parse_rand_augment,
)


@pytest.mark.parametrize(
    ("text", "config"),
    [
        ("rand-m9-mstd0.5-inc1", RandAugmentConfig(9, 2, 0.5, True)),
        ("rand", RandAugmentConfig(10, 2, 0.0, False)),
        ("rand-inc1-n3-m7", RandAugmentConfig(7, 3, 0.0, True)),
        ("rand-m9-inc0", RandAugmentConfig(9)),
        ("rand-mstd100-m15-w0", RandAugmentConfig(15, 2, 100.0, weighted=True)),
        ("rand-mstd1e3", RandAugmentConfig(magnitude_std=1000.0)),
    ],
)
def test_strings_that_are_read(text, config):
    assert parse_rand_augment(text) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must read like"),
        ("augmix-m3", "must read like"),
        ("rand-k3", "m, n, mstd, inc, w.*'k3' is none"),
        ("rand-9", "'9' is none"),
        ("rand--m9", "'' is none"),
        ("rand-p0.5-m9", "'p0.5' is none"),
        ("rand-m", "'m' must be a whole number; it is ''"),
        ("rand-m9.5", "'m' must be a whole number; it is '9.5'"),
        ("rand-n2x", "'n' must be a whole number"),
        ("rand-mstdinf", "'mstdinf' is none"),
        ("rand-mstd0.5x", "'mstd' must be a number; it is '0.5x'"),
        ("rand-inc2", "'inc' must be 0 or 1"),
        ("rand-w1", "'w' must be 0, the only set"),
        ("rand-m9-m8", "'m' is given twice"),
        ("rand-mstd1e999", "`magnitude_std` must be 0 or more"),
        ("rand-n14-w0", "`count` must be 0 to 13"),
    ],
)
def test_strings_that_are_refused(text, message):
    with pytest.raises(ValueError, match=message) as error:
        parse_rand_augment(text)
    assert "Received: " in str(error.value)


@pytest.mark.parametrize(
    ("kind", "name", "value", "expected"),
    [
        (RandAugmentConfig, "magnitude", -1, "0 or more"),
        (MixupConfig, "mixup_alpha", -1.0, "at least 0 and finite"),
        (MixupConfig, "cutmix_alpha", math.inf, "at least 0 and finite"),
        (MixupConfig, "probability", 1.5, r"in \[0, 1\]"),
        (MixupConfig, "switch_probability", math.nan, r"in \[0, 1\]"),
        (RandomErasingConfig, "probability", -0.1, r"in \[0, 1\]"),
        (RandomErasingConfig, "mode", "black", "one of const, rand, pixel"),
        (RandomErasingConfig, "area", (0.0, 0.5), r"a range within \(0, 1\]"),
        (RandomErasingConfig, "area", (0.5, 0.2), r"a range within \(0, 1\]"),
        (RandomErasingConfig, "aspect", (0.0, 1.0), "a range of finite numbers above 0"),
        (RandomErasingConfig, "max_count", 0, "at least 1"),
        (Augmentation, "crop", "center", "one of none, light, padded, random_resized"),
        (Augmentation, "area", (0.5, 1.5), r"a range within \(0, 1\]"),
        (Augmentation, "ratio", (1.0, math.inf), "a range of finite numbers above 0"),
        (Augmentation, "flip", 1.1, r"in \[0, 1\]"),
        (Augmentation, "color_jitter", -0.1, "at least 0 and finite"),
        (Augmentation, "smoothing", 1.0, r"in \[0, 1\)"),
    ],
)
def test_a_setting_out_of_range_is_named(kind, name, value, expected):
    with pytest.raises(
        ValueError, match=f"`{name}` must be {expected}. Received: {name}="
    ) as error:
        dataclasses.replace(kind(), **{name: value})
    assert str(error.value).endswith(f"={value}")


def test_to_mix_nothing_is_refused():
    with pytest.raises(ValueError, match="must be above 0.*Received: mixup_alpha=0"):
        MixupConfig(mixup_alpha=0, cutmix_alpha=0)
