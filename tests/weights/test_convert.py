"""Checkpoints that claim to be of another model than their arrays make."""

import sys

import numpy as np
import pytest

from t2t_keras import CheckpointError, load_official_checkpoint
from t2t_keras.weights.assign import Report
from t2t_keras.weights.convert import convert
from t2t_keras.weights.state_dict import state_dict_of
from t2t_keras.weights.torch_reader import read_torch_checkpoint
from tests.conftest import DATA
from tests.support.tiny import tiny_model
from tests.support.weights.torch_writer import checkpoint

convert_module = sys.modules["t2t_keras.weights.convert"]  # the room exports its function
GOOD = DATA / "tiny_bare_state_dict.pth"
# Shapes of 1 MB at most that would make a large model, or end in another error than ours.
WRONG_SHAPES = {
    "cls_token": [(), (32,), (1, 1, 0), (1, 1, 100_000)],
    "pos_embed": [(32,), (1, 0, 32), (1, 1, 32), (2, 17, 32), (1, 10_001, 1), (1, 90_001, 0)],
    "norm.weight": [(), (100_000,)],
    "head.weight": [(), (10,), (100_000,), (100_000, 0), (100_000, 1), (0, 32)],
    "head.bias": [(), (7,)],
    "blocks.0.mlp.fc2.weight": [(), (32, 0), (1, 100_000)],
    "blocks.1.mlp.fc2.weight": [(32, 1)],
    "blocks.2.attn.proj.weight": [(), (32,), (1, 1)],
    "tokens_to_token.attention1.proj.weight": [(), (100_000, 0), (100_000, 1)],
    "tokens_to_token.attention2.kqv.weight": [(48, 143)],
}
WRONG_SHAPES_OF_KNOWN_SIZES = {
    "blocks.0.mlp.fc1.weight": [(), (100_000, 1)],
    "tokens_to_token.attention1.w": [(), (100_000, 1)],
    "tokens_to_token.project.weight": [(), (1, 100_000)],
}


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture
def state():
    return state_dict_of(read_torch_checkpoint(GOOD))


@pytest.fixture
def put(tmp_path):
    """Writes a state dict as a checkpoint."""

    def write(state):
        path = tmp_path / "tiny.pth"
        path.write_bytes(checkpoint(state))
        return path

    return write


@pytest.mark.parametrize("key", [*WRONG_SHAPES, *WRONG_SHAPES_OF_KNOWN_SIZES])
def test_a_wrong_shape_is_named_makes_no_file_and_changes_no_model(
    key, model, state, put, tmp_path, monkeypatch
):
    before, reason = model.get_weights(), "does not fit the model"
    if key in WRONG_SHAPES:  # then no model is built either
        monkeypatch.setattr(convert_module, "classifier", None)
        reason = r".*(expected \(|no square grid)"
    for shape in {**WRONG_SHAPES, **WRONG_SHAPES_OF_KNOWN_SIZES}[key]:
        path = put({**state, key: np.zeros(shape, "f4")})
        with pytest.raises(CheckpointError, match=f"^{path}: {reason}"):
            convert(path, tmp_path / "out.weights.h5", num_heads=2)
        assert list(tmp_path.iterdir()) == [path]
        with pytest.raises(CheckpointError, match=f"^{path}: does not fit the model"):
            load_official_checkpoint(model, path)
    np.testing.assert_equal(model.get_weights(), before)


def test_sizes_that_make_no_model_are_a_checkpoint_error(state, put, tmp_path):
    """A performer of width 1 has no random features."""
    stem = "tokens_to_token."
    state[f"{stem}attention1.proj.weight"] = np.zeros((1, 1), "f4")
    state[f"{stem}attention2.kqv.weight"] = np.zeros((3, 9), "f4")
    path = put(state)
    with pytest.raises(CheckpointError, match=f"^{path}: there is no model of its sizes"):
        convert(path, tmp_path / "out.weights.h5", num_heads=2)


def test_half_a_head_is_not_converted(state, put, tmp_path):
    for lost in ("head.weight", "head.bias"):
        path = put({key: array for key, array in state.items() if key != lost})
        with pytest.raises(CheckpointError, match=lost):
            convert(path, tmp_path / "out.weights.h5", num_heads=2)
        assert list(tmp_path.iterdir()) == [path]


def test_what_leaves_a_variable_random_is_not_written(tmp_path, monkeypatch):
    report = Report((), fresh=("head/bias",))
    monkeypatch.setattr(convert_module, "load_state_dict", lambda *_: report)
    with pytest.raises(CheckpointError, match="has nothing for head/bias, so nothing was written"):
        convert(GOOD, tmp_path / "out.weights.h5", num_heads=2)
    assert list(tmp_path.iterdir()) == []
