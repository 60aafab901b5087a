import numpy as np
import pytest

from t2t_keras import VARIANTS, CheckpointError, read_torch_checkpoint
from t2t_keras.weights.checkpoint import state_dict_of
from t2t_keras.weights.identify import identify
from tests.conftest import DATA


def _shapes_of(golden, name):
    """Arrays of the right shapes that take no memory."""
    nothing = np.zeros((), "float32")
    return {key: np.broadcast_to(nothing, shape) for key, shape in golden[name]["state_dict"]}


def test_every_published_checkpoint_is_recognised(golden):
    for name in golden:
        identity = identify(_shapes_of(golden, name))
        expected = name.removesuffix("_384").removesuffix("_resnext")
        assert identity.name == expected
        assert identity.variant == VARIANTS[expected]
        assert identity.image_size == golden[name]["image_size"]
        assert identity.classes == 1000


def test_heads_tell_resnext_from_its_twin(golden):
    assert identify(_shapes_of(golden, "t2t_vit_14"), num_heads=32).name == "t2t_vit_14_resnext"


def test_own_sizes_need_the_heads():
    state = state_dict_of(read_torch_checkpoint(DATA / "tiny_performer.pth.tar"))
    with pytest.raises(CheckpointError, match="embed_dim=32, depth=3.*--num_heads"):
        identify(state)
    identity = identify(state, num_heads=2)
    assert (identity.name, identity.image_size, identity.classes) == (None, 64, 10)
    assert (identity.variant.token_dim, identity.variant.mlp_ratio) == (16, 3)


def test_what_is_no_t2t_vit_is_refused(golden):
    with pytest.raises(CheckpointError, match="x.pth: has no .*every T2T-ViT has"):
        identify({"conv1.weight": np.zeros((64, 3, 7, 7))}, source="x.pth")
    state = _shapes_of(golden, "t2t_vit_7")
    state["pos_embed"] = np.zeros((1, 196, 256))
    with pytest.raises(CheckpointError, match="no square grid"):
        identify(state)
