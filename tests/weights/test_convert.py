"""Checkpoints that claim to be of another model than their arrays make."""

import sys

import numpy as np
import pytest

from t2t_keras import CheckpointError, create_model, load_official_checkpoint
from t2t_keras.weights.assign import Report, load_state_dict
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
    "pos_embed": [(32,), (1, 0, 32), (1, 1, 32), (1, 10_001, 1), (1, 90_001, 0)],
    "norm.weight": [(), (100_000,)],
    "head.weight": [(), (10,), (100_000,), (100_000, 0), (100_000, 1), (0, 32)],
    "blocks.0.mlp.fc2.weight": [(), (32, 0), (1, 100_000)],
    "blocks.0.mlp.fc1.weight": [(), (100_000, 1)],
    "blocks.2.attn.proj.weight": [(), (1, 1)],
    "tokens_to_token.attention1.proj.weight": [(), (100_000, 1)],
    "tokens_to_token.attention1.w": [(), (100_000, 1)],
    "tokens_to_token.project.weight": [(), (1, 100_000)],
}


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


@pytest.mark.parametrize("key", sorted(WRONG_SHAPES))
def test_a_wrong_shape_converts_to_nothing_and_changes_no_model(key, state, put, tmp_path):
    model = tiny_model()
    before = model.get_weights()
    for shape in WRONG_SHAPES[key]:
        path = put({**state, key: np.zeros(shape, "f4")})
        with pytest.raises(CheckpointError, match=f"^{path}: "):
            convert(path, tmp_path / "out.weights.h5", num_heads=2)
        assert list(tmp_path.iterdir()) == [path]
        with pytest.raises(CheckpointError, match=f"^{path}: "):
            load_official_checkpoint(model, path)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    "claim",
    [
        {"pos_embed": np.zeros((1, 90_001, 0), "f4")},
        {"head.weight": np.zeros((100_000, 0), "f4")},
        {"cls_token": np.zeros((1, 1, 100_000), "f4")},
        {f"blocks.{index}.x": np.zeros(1, "f4") for index in range(3, 900)},
        {f"blocks.{'9' * 5000}.norm1.weight": np.zeros(1, "f4")},
    ],
    ids=["image size", "classes", "width", "depth", "block number"],
)
def test_no_model_is_built_of_what_the_arrays_do_not_hold(claim, state, put, tmp_path, monkeypatch):
    path = put({**state, **claim})
    monkeypatch.setattr(convert_module, "classifier", None)
    with pytest.raises(CheckpointError):
        convert(path, tmp_path / "out.weights.h5", num_heads=2)


def test_sizes_that_make_no_model_are_a_checkpoint_error(state, put, tmp_path):
    """A performer of width 1 has no random features."""
    stem = "tokens_to_token."
    state[f"{stem}attention1.proj.weight"] = np.zeros((1, 1), "f4")
    state[f"{stem}attention2.kqv.weight"] = np.zeros((3, 9), "f4")
    path = put(state)
    with pytest.raises(CheckpointError, match=f"^{path}: there is no model of its sizes"):
        convert(path, tmp_path / "out.weights.h5", num_heads=2)


@pytest.mark.parametrize("lost", ["head.weight", "head.bias"])
def test_half_a_head_is_not_converted(lost, state, put, tmp_path):
    del state[lost]
    path = put(state)
    with pytest.raises(CheckpointError, match=lost):
        convert(path, tmp_path / "out.weights.h5", num_heads=2)
    assert list(tmp_path.iterdir()) == [path]


def test_what_leaves_a_variable_random_is_not_written(tmp_path, monkeypatch):
    report = Report((), fresh=("head/bias",))
    monkeypatch.setattr(convert_module, "load_state_dict", lambda *_: report)
    with pytest.raises(CheckpointError, match="has nothing for head/bias, so nothing was written"):
        convert(GOOD, tmp_path / "out.weights.h5", num_heads=2)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def published():
    return create_model("t2t_vit_10", weights=None)


def _zeros(golden, name):
    return {key: np.broadcast_to(np.float32(0), s) for key, s in golden[name]["state_dict"]}


def test_another_published_variant_is_told_which_would_fit(golden, published, put):
    path = put(_zeros(golden, "t2t_vit_7"))
    with pytest.raises(CheckpointError, match="does not fit") as caught:
        load_official_checkpoint(published, path)
    advice = str(caught.value).splitlines()[-1]
    assert advice == 'It would fit create_model("t2t_vit_7", classes=1000).'


def test_a_file_without_a_head_would_fit_a_model_without_one(golden, published):
    state = _zeros(golden, "t2t_vit_7")
    del state["head.weight"], state["head.bias"]
    with pytest.raises(CheckpointError, match=r'create_model\("t2t_vit_7", include_top=False\)'):
        load_state_dict(published, state, "x.pth")


def test_conversion_writes_nothing_of_a_bad_source(tmp_path):
    source = tmp_path / "bad.pth"
    source.write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError):
        convert(source, tmp_path / "out.weights.h5")
    assert list(tmp_path.iterdir()) == [source]
