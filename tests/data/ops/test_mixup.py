import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from t2t_keras.data.ops.mixup import (
    Mix,
    mix_levels,
    mix_targets,
    sample_mix,
    soft_targets,
    symmetric_beta,
)
from t2t_keras.data.ops.seeds import batch_seed
from t2t_keras.data.settings import Augmentation
from tests.support.images import noise

COUNT = 3000
HEIGHT, WIDTH = 60, 90
BOTH = Augmentation(mixup=0.8, cutmix=1.0, mixup_prob=0.8, mixup_switch_prob=0.3)


def of_many(draw, count: int):
    """The samples of `draw` for the steps 0, 1, ..., as arrays."""
    steps = tf.data.Dataset.range(count).map(draw)
    return next(steps.batch(count).as_numpy_iterator())


def drawn(settings: Augmentation) -> Mix:
    sides = (HEIGHT, WIDTH)
    return Mix(*of_many(lambda step: sample_mix(settings, *sides, batch_seed(1, 2, step)), COUNT))


@pytest.fixture(scope="module")
def draws():
    return drawn(BOTH)


def cut_by_the_rule(alpha: float) -> dict[str, np.ndarray]:
    """Cutmix' draws in NumPy: a box about a center anywhere, cut off at the border."""
    rng = np.random.default_rng(0)
    side = np.sqrt(1 - rng.beta(alpha, alpha, 20000))
    box = {}
    for name, length, start in (("height", HEIGHT, "top"), ("width", WIDTH, "left")):
        half = (length * side).astype(int) // 2
        center = rng.integers(0, length, len(side))
        box[start] = np.clip(center - half, 0, length)
        box[name] = np.clip(center + half, 0, length) - box[start]
    return box | {"lam": 1 - box["height"] * box["width"] / (HEIGHT * WIDTH)}


def alike(mine: np.ndarray, other: np.ndarray) -> bool:
    return stats.ks_2samp(mine, other).pvalue > 0.001


@pytest.mark.parametrize("alpha", [0.2, 0.8, 1.0, 8.0])
def test_shares_are_beta_distributed(alpha):
    alphas = tf.constant(alpha, tf.float64)
    shares = of_many(lambda step: symmetric_beta(alphas, batch_seed(0, 0, step)), COUNT)
    assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 0.001


def test_the_smallest_alpha_gives_numbers():
    shares = [symmetric_beta(tf.constant(1e-6, tf.float64), batch_seed(0, 0, i)) for i in range(20)]
    assert np.isin(np.round(shares, 6), (0, 1)).all() and 0 < np.mean(shares) < 1


def test_how_often_batches_are_mixed_and_cut_and_how_much(draws):
    mixed, cut = draws.lam < 1, draws.cut
    assert mixed.mean() == pytest.approx(0.8, abs=0.03)
    assert cut.mean() == pytest.approx(0.8 * 0.3, abs=0.03)
    assert stats.kstest(draws.lam[mixed & ~cut], stats.beta(0.8, 0.8).cdf).pvalue > 0.001


def test_boxes_are_those_of_the_rule(draws):
    names = ("top", "left", "height", "width", "lam")
    parts = (part[draws.cut] for part in (*draws.box, draws.lam))
    mine, expected = dict(zip(names, parts, strict=True)), cut_by_the_rule(alpha=1.0)
    area = mine["height"] * mine["width"]
    np.testing.assert_allclose(mine["lam"], 1 - area / (HEIGHT * WIDTH), rtol=1e-12)
    for name, values in mine.items():
        assert alike(values, expected[name]), name


def test_one_alpha_leaves_the_switch_out():
    only_cut = drawn(Augmentation(cutmix=0.5, mixup_switch_prob=0.0))
    assert only_cut.cut.all()
    assert alike(only_cut.lam, cut_by_the_rule(alpha=0.5)["lam"])
    assert not drawn(Augmentation(mixup=0.8, mixup_switch_prob=1.0)).cut.any()


def mixed_by_the_rule(images: np.ndarray, mix: Mix) -> np.ndarray:
    result = images.copy()
    if mix.cut:
        top, left, height, width = (int(part) for part in mix.box)
        rows, columns = slice(top, top + height), slice(left, left + width)
        result[:, rows, columns] = images[::-1, rows, columns]
        return result
    lam, other = np.float32(mix.lam), np.float32(1 - mix.lam)
    mixed = images.astype(np.float32) * lam + images[::-1].astype(np.float32) * other
    return np.rint(mixed).astype(np.uint8)


@pytest.mark.parametrize("batch_size", [1, 4, 5])
def test_pixels_and_targets_are_those_of_the_rule(batch_size):
    images = np.stack([noise(12, 16, seed) for seed in range(batch_size)])
    targets = soft_targets(np.arange(batch_size), 6, smoothing=0.1)
    settings = Augmentation(mixup=0.8, cutmix=1.0, mixup_prob=0.7)

    given, turned = tf.constant(images), tf.constant(images[::-1])

    @tf.function
    def mixed(seed):
        mix = sample_mix(settings, 12, 16, seed)
        return mix, tf.cast(mix_levels(given, turned, mix), tf.uint8), mix_targets(targets, mix)

    kinds = set()
    for step in range(16):
        mix, got, got_targets = mixed(batch_seed(0, 0, step))
        mix = tf.nest.map_structure(lambda tensor: tensor.numpy(), mix)
        np.testing.assert_array_equal(got, mixed_by_the_rule(images, mix))
        assert got.dtype == tf.uint8
        expected = mix.lam * targets.numpy() + (1 - mix.lam) * targets.numpy()[::-1]
        np.testing.assert_allclose(got_targets, expected, atol=1e-6)
        kinds.add((bool(mix.cut), mix.lam < 1))
    assert kinds == {(True, True), (False, True), (False, False)}


def test_smoothing_is_spread_over_all_classes():
    np.testing.assert_array_equal(soft_targets(range(4), 4), np.eye(4))
    expected = 0.9 * np.eye(4) + 0.025
    np.testing.assert_allclose(soft_targets(range(4), 4, smoothing=0.1), expected, rtol=1e-6)


def test_halves_go_to_the_even_level():
    images = np.zeros((2, 1, 2, 3), np.uint8)
    images[1] = [[[1, 3, 5], [7, 250, 255]]]
    half = Mix(tf.constant(0.5, tf.float64), tf.constant(False), (0, 0, 0, 0))
    got = mix_levels(tf.constant(images), tf.constant(images[::-1]), half)
    assert got[0].numpy().tolist() == [[[0, 2, 2], [4, 125, 128]]]
