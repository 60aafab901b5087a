import itertools

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from t2t_keras import VARIANTS, CheckpointError, T2TViT, create_model
from t2t_keras.variants import TOKEN_TYPES
from t2t_keras.weights.assign import load_state_dict
from t2t_keras.weights.convert import write_model
from t2t_keras.weights.formats import read_safetensors, write_safetensors
from t2t_keras.weights.mapping import official_entries, official_state, resize_position_table
from tests.conftest import official_weights
from tests.support.tiny import tiny_model, tiny_variant


@pytest.mark.parametrize("name", ["t2t_vit_7", "t2t_vit_t_14", "t2t_vit_14_se"])
def test_keys_and_shapes_are_the_official_ones(name, golden):
    entries = official_entries(create_model(name, weights=None))
    ours = {entry.key: list(entry.official_shape) for entry in entries}
    assert ours == dict(golden[name]["state_dict"])


def test_every_variant_has_its_own_small_twin_both_ways():
    """There and back: the official layout of a model loads into a fresh one unchanged."""
    kinds = itertools.product(TOKEN_TYPES, ("standard", "squeeze_excite", "ghost"))
    variants = [tiny_variant(stem, block_type=block) for stem, block in kinds]
    variants.append(tiny_variant(block_type="dense", depth=(1, 2), growth_rate=8))
    assert {v.block_type for v in VARIANTS.values()} <= {v.block_type for v in variants}
    for variant in variants:
        model = T2TViT(variant, classes=4)
        shapes = {key: array.shape for key, array in official_state(model).items()}
        state = {key: official_weights(key, shape) for key, shape in shapes.items()}
        load_state_dict(model, state)
        np.testing.assert_equal(official_state(model), state)


def test_foreign_variable_is_refused():
    base = tiny_model(include_top=False, pooling="token")
    model = keras.Sequential([base, keras.layers.Dense(3, name="mine")])
    with pytest.raises(ValueError, match="no place for one of its variables.*mine/kernel"):
        official_entries(model)


def test_the_class_tokens_row_is_kept_and_so_is_an_equal_grid():
    table = np.random.default_rng(0).standard_normal((1, 17, 4)).astype("float32")
    assert resize_position_table(table, (4, 4)) is table
    resized = resize_position_table(table, (4, 4), (2, 8))
    assert resized.shape == (1, 17, 4)
    np.testing.assert_array_equal(resized[:, 0], table[:, 0])
    with pytest.raises(ValueError, match="`old_grid_size` must be given"):
        resize_position_table(np.zeros((1, 16, 4), "float32"), (2, 2))


def _table(model):
    return model.get_layer("position_table").get_weights()[0]


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras", ".safetensors"])
def test_a_grid_that_is_not_square_comes_back_as_it_was(suffix, tmp_path):
    """2x8 tokens are as many as 4x4."""
    path = tmp_path / f"wide{suffix}"
    wide = tiny_model(input_shape=(32, 128, 3))
    layer = wide.get_layer("position_table")
    layer.position_table.assign(np.random.default_rng(0).standard_normal((1, 17, 32)))
    write_model(wide, path)
    for shape, grid_size in [((32, 128), (2, 8)), ((64, 64), (4, 4)), ((48, 80), (3, 5))]:
        loaded = _table(tiny_model(weights=path, input_shape=(*shape, 3)))
        expected = resize_position_table(_table(wide), grid_size, (2, 8))
        np.testing.assert_array_equal(loaded, expected)


@pytest.mark.parametrize("grid_size", [(4, 5), (1, 17), (99999, 99999)])
def test_a_grid_that_is_not_the_tables_is_refused(grid_size, tmp_path):
    path = tmp_path / "forged.safetensors"
    write_safetensors(official_state(tiny_model()), path, grid_size)
    with pytest.raises(CheckpointError, match="of another shape: pos_embed"):
        tiny_model(weights=path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"grid_size": "4x-4"}])
def test_a_file_that_says_no_grid_is_square(metadata, tmp_path):
    path = tmp_path / "theirs.safetensors"
    save_file(official_state(tiny_model()), path, metadata=metadata)
    assert read_safetensors(path)[1] is None
    np.testing.assert_array_equal(_table(tiny_model(weights=path)), _table(tiny_model()))
