import keras
import pytest

from t2t_keras import count_macs, create_model
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


def _by_hand(depth, embed_dim, mlp_ratio, tokens, stem_tokens, token_dim, classes, features):
    """T2T-ViT with performers, written out: windows of 147 and 9 * token_dim values."""
    total = 0
    for count, window in zip(stem_tokens, (147, 9 * token_dim), strict=True):
        total += count * window * 3 * token_dim  # keys, queries, values
        total += 2 * count * token_dim * features  # phi of keys and queries
        total += 2 * count * token_dim * features  # keys to values, queries to result
        total += count * features  # normaliser
        total += 3 * count * token_dim**2  # projection and MLP
    total += (tokens - 1) * 9 * token_dim * embed_dim
    block = 4 * tokens * embed_dim**2 + 2 * tokens**2 * embed_dim
    block += 2 * tokens * mlp_ratio * embed_dim**2
    return total + depth * block + embed_dim * classes


def test_equals_a_count_by_hand():
    by_hand = _by_hand(7, 256, 2, 197, (3136, 784), 64, 1000, 32)
    assert count_macs(create_model("t2t_vit_7", weights=None)) == by_hand


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
