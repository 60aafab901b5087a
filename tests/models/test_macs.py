import keras
import pytest

from t2t_keras import VARIANTS, count_macs, create_model
from tests.support.macs_by_hand import macs_by_hand
from tests.support.tiny import tiny_model

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
    assert macs_by_hand(VARIANTS[name]) / 1e9 == pytest.approx(expected, abs=rounding)


def test_equals_a_count_by_hand():
    """The other variants are counted where their logits are compared."""
    name = "t2t_vit_c_14"
    assert count_macs(create_model(name, weights=None)) == macs_by_hand(VARIANTS[name])


def test_any_size_model_is_counted_at_a_size():
    model = tiny_model(input_shape=(None, None, 3))
    before = model.to_json()
    assert count_macs(model, (64, 64, 3)) == count_macs(tiny_model())
    assert count_macs(model, (96, 64, 3)) > count_macs(model, (64, 64, 3))
    with pytest.raises(ValueError, match="`input_shape` must be"):
        count_macs(model)
    assert model.to_json() == before


def test_model_inside_a_model_is_counted():
    base = tiny_model(include_top=False, pooling="token")
    model = keras.Sequential([keras.Input((64, 64, 3)), base, keras.layers.Dense(5)])
    assert count_macs(model) == count_macs(base) + 32 * 5
