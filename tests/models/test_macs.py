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


TOKENS = 197


def _stem_by_hand(variant, features=32):
    """At 224 x 224, written out: 3136, 784 and 196 tokens, windows of 147 and 9 * token_dim."""
    token_dim = variant.token_dim
    total = 196 * 9 * token_dim * variant.embed_dim
    if variant.token_type == "convolution":
        return total + 3136 * 147 * token_dim + 784 * 9 * token_dim**2
    for count, window in ((3136, 147), (784, 9 * token_dim)):
        total += count * window * 3 * token_dim  # keys, queries, values
        total += 3 * count * token_dim**2  # projection and MLP
        if variant.token_type == "transformer":
            total += 2 * count**2 * token_dim
        else:
            total += 2 * count * token_dim * features  # phi of keys and queries
            total += 2 * count * token_dim * features  # keys to values, queries to result
            total += count * features  # normaliser
    return total


def _block_by_hand(width, mlp_ratio):
    attention = 4 * TOKENS * width**2 + 2 * TOKENS**2 * width
    return attention + 2 * TOKENS * mlp_ratio * width**2


def _squeeze_excite_by_hand(width):
    return 2 * width * (width // 16) + TOKENS * width  # the gate, and its use


def _ghost_block_by_hand(width):
    """Half of keys, queries and values, and two of three parts of the hidden layer, are scaled."""
    attention = 3 * TOKENS * width * (width // 2) + 3 * TOKENS * (width // 2)
    attention += 2 * TOKENS**2 * width + TOKENS * width**2
    return attention + TOKENS * width**2 + 2 * TOKENS * width + TOKENS * 3 * width**2


def _dense_by_hand(variant):
    """Encoder and head; the tokens grow by growth_rate a block and are halved between groups."""
    total, width = 0, variant.embed_dim
    for group, count in enumerate(variant.depth):
        if group > 0:
            total += TOKENS * width * (width // 2)
            width //= 2
        for _ in range(count):
            total += _block_by_hand(width, variant.mlp_ratio) + TOKENS * width * variant.growth_rate
            width += variant.growth_rate
    return total + width * 1000


def _by_hand(variant):
    stem, width = _stem_by_hand(variant), variant.embed_dim
    if variant.block_type == "dense":
        return stem + _dense_by_hand(variant)
    if variant.block_type == "ghost":
        block = _ghost_block_by_hand(width)
    else:
        block = _block_by_hand(width, variant.mlp_ratio)
    if variant.block_type == "squeeze_excite":
        block += _squeeze_excite_by_hand(width)
    return stem + variant.depth * block + width * 1000


@pytest.mark.parametrize("name", VARIANTS)
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
