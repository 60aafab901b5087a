import keras
import numpy as np
import pytest

from t2t_keras import VARIANTS, T2TViT, create_model
from t2t_keras.weights.assign import load_state_dict
from t2t_keras.weights.mapping import official_entries, official_state
from tests.conftest import official_weights
from tests.support.tiny import tiny_model, tiny_variant


@pytest.mark.parametrize("name", ["t2t_vit_7", "t2t_vit_t_14", "t2t_vit_14_se"])
def test_keys_and_shapes_are_the_official_ones(name, golden):
    entries = official_entries(create_model(name, weights=None))
    ours = {entry.key: list(entry.official_shape) for entry in entries}
    assert ours == dict(golden[name]["state_dict"])


def test_every_variant_has_its_own_small_twin_both_ways():
    """There and back: the official layout of a model loads into a fresh one unchanged."""
    variants = [
        tiny_variant(token_type, block_type=block_type)
        for token_type in ("performer", "transformer", "convolution")
        for block_type in ("standard", "squeeze_excite", "ghost")
    ]
    variants.append(tiny_variant(block_type="dense", depth=(1, 2), growth_rate=8))
    assert {v.block_type for v in VARIANTS.values()} <= {v.block_type for v in variants}
    for variant in variants:
        model = T2TViT(variant, classes=4)
        state = {
            key: official_weights(key, array.shape) for key, array in official_state(model).items()
        }
        load_state_dict(model, state)
        back = official_state(model)
        assert back.keys() == state.keys()
        for key, array in state.items():
            np.testing.assert_array_equal(back[key], array)


def test_foreign_variable_is_refused():
    base = tiny_model(include_top=False, pooling="token")
    model = keras.Sequential([base, keras.layers.Dense(3, name="mine")])
    with pytest.raises(ValueError, match="no place for one of its variables.*mine/kernel"):
        official_entries(model)
