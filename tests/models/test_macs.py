import keras
import pytest

from t2t_keras import VARIANTS, count_macs, create_model
from tests.tiny import tiny_model

# Billions, from the paper's tables 1 to 3 as RECIPE's sources give them, to their last digit.
PAPER = {
    "t2t_vit_7": (1.1, 0.06),
    "t2t_vit_14": (4.8, 0.05),
    "t2t_vit_19": (8.5, 0.05),
    "t2t_vit_24": (13.8, 0.15),
    "t2t_vit_t_14": (6.1, 0.05),
    "t2t_vit_t_19": (9.8, 0.05),
    "t2t_vit_t_24": (15.0, 0.05),
}


@pytest.mark.parametrize("name", PAPER)
def test_near_the_papers_figures(name):
    expected, rounding = PAPER[name]
    assert count_macs(create_model(name, weights=None)) / 1e9 == pytest.approx(
        expected, abs=rounding
    )


def _by_hand(variant, classes=1000, features=32):
    """At 224 x 224, written out: 3136, 784 and 196 tokens, windows of 147 and 9 * token_dim."""
    token_dim, embed_dim, tokens = variant.token_dim, variant.embed_dim, 197
    total = 196 * 9 * token_dim * embed_dim + embed_dim * classes
    for count, window in ((3136, 147), (784, 9 * token_dim)):
        total += count * window * 3 * token_dim  # keys, queries, values
        total += 3 * count * token_dim**2  # projection and MLP
        if variant.token_type == "transformer":
            total += 2 * count**2 * token_dim
        else:
            total += 2 * count * token_dim * features  # phi of keys and queries
            total += 2 * count * token_dim * features  # keys to values, queries to result
            total += count * features  # normaliser
    block = 4 * tokens * embed_dim**2 + 2 * tokens**2 * embed_dim
    block += 2 * tokens * variant.mlp_ratio * embed_dim**2
    if variant.block_type == "squeeze_excite":
        block += 2 * embed_dim * (embed_dim // 16) + tokens * embed_dim  # the gate, and its use
    return total + variant.depth * block


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, variant in VARIANTS.items()
        if variant.token_type != "convolution" and variant.block_type not in ("ghost", "dense")
    ],
)
def test_equals_a_count_by_hand(name):
    assert count_macs(create_model(name, weights=None)) == _by_hand(VARIANTS[name])


def test_any_size_model_is_counted_at_a_size():
    model = tiny_model(input_shape=(None, None, 3))
    assert count_macs(model, (64, 64, 3)) == count_macs(tiny_model())
    assert count_macs(model, (96, 64, 3)) > count_macs(model, (64, 64, 3))
    with pytest.raises(ValueError, match="`input_shape` must be"):
        count_macs(model)


def test_model_inside_a_model_is_counted():
    base = tiny_model(include_top=False, pooling="token")
    model = keras.Sequential([keras.Input((64, 64, 3)), base, keras.layers.Dense(5)])
    assert count_macs(model) == count_macs(base) + 32 * 5
