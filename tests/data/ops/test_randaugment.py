import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from t2t_keras.data.ops.randaugment import (
    OPS,
    WEIGHTS,
    RandAugmentParams,
    apply_op,
    op_amount,
    rand_augment,
    sample_ops,
)
from t2t_keras.data.ops.seeds import batch_seed
from t2t_keras.data.settings import RandAugmentConfig, parse_rand_augment
from tests.support.pillow_ops import FILL, REFERENCE, SIZE, images

RECIPE = "rand-m9-mstd0.5-inc1"
COUNT = 60000
LARGEST = {"Rotate": 30, "ShearX": 0.3, "ShearY": 0.3, "TranslateX": 0.45, "TranslateY": 0.45}


def _draws(config):
    """The draws, and the geometric ops' levels in -10..10, which their amounts tell."""
    params = sample_ops(config, batch_seed(0, 0, 0), COUNT)
    draws = {name: field.numpy() for name, field in params._asdict().items()}
    largest = np.array([LARGEST.get(name, np.nan) for name in OPS])
    return {**draws, "level": 10 * draws["amount"] / largest[draws["op"]]}


@pytest.fixture(scope="module")
def recipe():
    return _draws(parse_rand_augment(RECIPE))


def test_every_op_is_sampled_as_often_and_with_replacement(recipe):
    shares = np.bincount(recipe["op"].ravel(), minlength=15) / (2 * COUNT)
    np.testing.assert_allclose(shares, 1 / 15, atol=0.01)
    assert abs((recipe["op"][:, 0] == recipe["op"][:, 1]).mean() - 1 / 15) < 0.012


def test_choices_are_halves_and_independent(recipe):
    level = recipe["level"]
    rows = np.isfinite(level).all(axis=1)
    fields = [recipe["applied"], level < 0, recipe["bicubic"], recipe["op"], np.abs(level)]
    columns = [field[rows, place].astype(float) for field in fields for place in (0, 1)]
    np.testing.assert_allclose(np.mean(columns[:6], axis=1), 0.5, atol=0.02)
    correlations = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(correlations).max() < 0.06


def test_magnitudes_are_normal(recipe):
    magnitude = np.abs(recipe["level"][np.isfinite(recipe["level"])])
    assert abs(magnitude.mean() - 8.99) < 0.02 and magnitude.max() == 10.0
    np.testing.assert_allclose(
        np.quantile(magnitude, [0.023, 0.159, 0.5, 0.841]), [8.0, 8.5, 9.0, 9.5], atol=0.04
    )
    assert abs((magnitude == 10.0).mean() - 0.0228) < 0.006


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("rand-m4-mstd0", {4.0: 1.0}),
        ("rand-m0-mstd100", {0.0: 0.5, 10.0: 0.46}),
        ("rand", {10.0: 1.0}),
    ],
)
def test_magnitudes_at_the_ends(text, ends):
    level = _draws(parse_rand_augment(text))["level"]
    magnitude = np.abs(level[np.isfinite(level)])
    for value, share in ends.items():
        assert abs(np.isclose(magnitude, value).mean() - share) < 0.01


def test_weighted_ops_are_sampled_without_replacement():
    params = _draws(parse_rand_augment("rand-n3-w0"))["op"]
    assert all(len(set(row)) == 3 for row in params[:500])
    shares = np.bincount(params[:, 0], minlength=15) / COUNT
    np.testing.assert_allclose(shares, np.array(WEIGHTS) / sum(WEIGHTS), atol=0.02)
    first, second = OPS.index("Rotate"), OPS.index("ShearX")
    after = (params[params[:, 0] == first, 1] == second).mean()
    assert abs(after - 0.2 / 0.7) < 0.04


@pytest.mark.parametrize("increasing", [True, False])
@pytest.mark.parametrize("sign", [1, -1])
def test_amounts_are_timms_and_whole_ones_are_cut_as_in_python(sign, increasing):
    levels = np.linspace(0, 10, 81)
    of_all = np.meshgrid(range(len(OPS)), levels)
    made = op_amount(*of_all, sign < 0, increasing).numpy()
    for row, share in zip(made, levels / 10, strict=True):
        bits, threshold = int(share * 4), int(share * 256)
        factor = 1 + sign * share * 0.9 if increasing else share * 1.8 + 0.1
        expected = {
            "Posterize": 4 - bits if increasing else bits,
            "Solarize": 256 - threshold if increasing else threshold,
            "SolarizeAdd": int(share * 110),
            **dict.fromkeys(("Color", "Contrast", "Brightness", "Sharpness"), factor),
            **{name: sign * share * largest for name, largest in LARGEST.items()},
        }
        np.testing.assert_allclose(row, [expected.get(name, 0) for name in OPS], rtol=1e-12)


def _by_pillow(image, op, bicubic, amount):
    """timm 0.3.4's op, in Pillow."""
    name = OPS[op]
    if name in ("Posterize", "Solarize", "SolarizeAdd"):
        return REFERENCE[name](image, int(amount))
    if name in LARGEST:
        sides = {"TranslateX": image.width, "TranslateY": image.height}
        return REFERENCE[name](image, amount * sides.get(name, 1), bicubic)
    return REFERENCE[name](image, *([amount] if amount else []))


def _augmented(config, seed, count):
    """The photograph as augmented (fill color `FILL`), and the draws, `count` times."""
    photo = images()["photo"]

    def work(params):
        return rand_augment(tf.constant(photo), params, FILL), params

    data = tf.data.Dataset.from_tensor_slices(sample_ops(config, batch_seed(seed, 0, 0), count))
    data = data.map(work, num_parallel_calls=2)
    assert data.element_spec[0] == tf.TensorSpec((*SIZE, 3), tf.uint8)
    return photo, list(data.as_numpy_iterator())


@pytest.mark.parametrize("text", ["rand-m7-n1-mstd3-inc1", "rand-m5-n1-mstd4"])
def test_images_are_pillows(text):
    (photo, made), seen = _augmented(parse_rand_augment(text), 1, 160), set()
    for image, draws in made:
        op, used, *how = (field[0] for field in draws)
        wanted = photo
        if used:
            wanted = np.asarray(_by_pillow(Image.fromarray(photo), op, *how))
            seen.add(OPS[op])
        off = np.abs(image.astype(int) - wanted)
        assert off.max() <= 1 and (off > 0).mean() < 0.05, (OPS[op], how)
    assert seen == set(OPS)


@pytest.mark.parametrize("increasing", [True, False])
@pytest.mark.parametrize("name", ["Posterize", "Solarize", "SolarizeAdd"])
def test_whole_levels_are_pillows(name, increasing):
    image = images()["noise"]
    for level in range(11):
        op = OPS.index(name)
        amount = op_amount(op, level, False, increasing)
        made = apply_op(image, op, amount, False, FILL)
        expected = _by_pillow(Image.fromarray(image), op, False, amount)
        np.testing.assert_array_equal(made, np.asarray(expected))


def test_two_ops_follow_one_another():
    photo, made = _augmented(parse_rand_augment("rand-m9-inc1"), 3, 100)
    both = 0
    for image, draws in made:
        wanted = Image.fromarray(photo)
        for op, used, *how in zip(*draws, strict=True):
            wanted = _by_pillow(wanted, op, *how) if used else wanted
        close = np.abs(image.astype(int) - np.asarray(wanted)) <= 1
        # An op that amplifies makes more of the first one's level.
        assert close.mean() > 0.8
        both += draws.applied.all() and close.mean() > 0.99
    assert both > 10


def test_no_ops_change_nothing():
    photo = images()["photo"]
    params = sample_ops(RandAugmentConfig(count=0), batch_seed(0, 0, 0), 1)
    made = rand_augment(tf.constant(photo), RandAugmentParams(*(field[0] for field in params)))
    np.testing.assert_array_equal(made, photo)
