import dataclasses
import math

import pytest

from t2t_keras.data.settings import Augmentation, RandAugmentConfig, parse_rand_augment


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
        ("", "''"),
        ("augmix-m3", "'augmix'"),
        ("m9", "'m9'"),
        ("rand-k3", "'k3'"),
        ("rand-9", "'9'"),
        ("rand--m9", "''"),
        ("rand-p0.5-m9", "'p0.5'"),
        ("rand-m", "'m'"),
        ("rand-n1-m9.5-x", "'m9.5'"),
        ("rand-n2x", "'n2x'"),
        ("rand-mstdinf", "'mstdinf'"),
        ("rand-mstd0.5x", "'mstd0.5x'"),
        ("rand-inc2", "'inc2'"),
        ("rand-w1", "'w1'"),
        ("rand-m9-m8", "'m8'"),
    ],
)
def test_strings_that_are_refused(text, message):
    with pytest.raises(ValueError, match="read like.* m and n with .*any order") as error:
        parse_rand_augment(text)
    assert str(error.value).endswith(f" {message} does not fit. Received: {text!r}")


@pytest.mark.parametrize(
    ("kind", "name", "value", "expected"),
    [
        (RandAugmentConfig, "magnitude", -1, "at least 0"),
        (RandAugmentConfig, "magnitude_std", math.inf, "at least 0 and finite"),
        (Augmentation, "mixup", -1.0, "at least 0 and finite"),
        (Augmentation, "cutmix", math.inf, "at least 0 and finite"),
        (Augmentation, "mixup_prob", 1.5, r"in \[0, 1\]"),
        (Augmentation, "mixup_switch_prob", math.nan, r"in \[0, 1\]"),
        (Augmentation, "erasing", -0.1, r"in \[0, 1\]"),
        (Augmentation, "erasing_mode", "black", "one of const, rand, pixel"),
        (Augmentation, "erasing_area", (0.0, 0.5), r"a range within \(0, 1\]"),
        (Augmentation, "erasing_area", (0.5, 0.2), r"a range within \(0, 1\]"),
        (Augmentation, "erasing_aspect", (0.0, 1.0), "a range of finite numbers above 0"),
        (Augmentation, "erasing_count", 0, "at least 1"),
        (Augmentation, "crop", "center", "one of none, light, padded, random_resized"),
        (Augmentation, "area", (0.5, 1.5), r"a range within \(0, 1\]"),
        (Augmentation, "ratio", (1.0, math.inf), "a range of finite numbers above 0"),
        (Augmentation, "flip", 1.1, r"in \[0, 1\]"),
        (Augmentation, "color_jitter", -0.1, "at least 0 and finite"),
        (Augmentation, "smoothing", 1.0, r"in \[0, 1\)"),
    ],
)
def test_a_setting_out_of_range_is_named(kind, name, value, expected):
    message = f"`{name}` must be {expected}. Received: {name}="
    with pytest.raises(ValueError, match=message) as error:
        dataclasses.replace(kind(), **{name: value})
    assert str(error.value).endswith(f"={value}")


def test_by_weight_no_op_is_sampled_twice():
    with pytest.raises(ValueError, match="`count` must be 0 to 13 .*Received: count=14"):
        parse_rand_augment("rand-n14-w0")
