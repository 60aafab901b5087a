import logging
import math
import random

import numpy as np
import pytest

from t2t_keras import VARIANTS, CheckpointError, read_torch_checkpoint
from t2t_keras.weights.identify import identify
from t2t_keras.weights.state_dict import state_dict_of
from tests.conftest import DATA


def _shapes_of(golden, name):
    """Arrays of the right shapes that take no memory."""
    nothing = np.zeros((), "float32")
    return {key: np.broadcast_to(nothing, shape) for key, shape in golden[name]["state_dict"]}


def test_every_published_checkpoint_is_recognized(golden):
    for name in golden:
        identity = identify(_shapes_of(golden, name))
        expected = name.removesuffix("_384").removesuffix("_resnext")
        assert identity.name == expected
        assert identity.variant == VARIANTS[expected]
        assert identity.image_size == golden[name]["image_size"]
        assert identity.classes == 1000


def test_heads_tell_resnext_from_its_twin(golden, caplog):
    with caplog.at_level(logging.INFO):
        assert identify(_shapes_of(golden, "t2t_vit_14"), source="x.pth").name == "t2t_vit_14"
    expected = "x.pth: taken for t2t_vit_14; `model_name` says if it is t2t_vit_14_resnext"
    assert expected in caplog.text
    assert identify(_shapes_of(golden, "t2t_vit_14"), num_heads=32).name == "t2t_vit_14_resnext"


def test_own_sizes_need_the_heads():
    state = state_dict_of(read_torch_checkpoint(DATA / "tiny_performer.pth.tar"))
    with pytest.raises(CheckpointError, match="embed_dim=32, depth=3.*`num_heads`"):
        identify(state)
    identity = identify(state, num_heads=2)
    assert (identity.name, identity.image_size, identity.classes) == (None, 64, 10)
    assert (identity.variant.token_dim, identity.variant.mlp_ratio) == (16, 3)


def test_what_is_no_t2t_vit_is_refused(golden):
    with pytest.raises(CheckpointError, match="x.pth: has no .*no whole T2T-ViT"):
        identify({"conv1.weight": np.zeros((64, 3, 7, 7))}, source="x.pth")
    with pytest.raises(CheckpointError, match="no square grid"):
        identify({**_shapes_of(golden, "t2t_vit_7"), "pos_embed": np.zeros((1, 196, 256))})


HUGE = 10**8


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        *(([index], "8 blocks are not numbered") for index in ("8", "07", "9" * 5000, "18999")),
        (range(7, 900), "has no 'blocks.7.attn.proj.weight'"),
        (range(7, 19_000), "19000 blocks"),
    ],
)
def test_blocks_are_numbered_without_a_gap_and_names_alone_make_none(indices, message, golden):
    named = {f"blocks.{index}.norm1.weight": np.zeros(1, "f4") for index in indices}
    with pytest.raises(CheckpointError, match=message):
        identify({**_shapes_of(golden, "t2t_vit_7"), **named}, 4)


def _least_size(identity):
    """Numbers that a model of those sizes has at least: blocks, table, head and stem."""
    variant = identity.variant
    width, hidden_dim = variant.embed_dim, variant.embed_dim * variant.mlp_ratio
    depth = variant.depth if isinstance(variant.depth, int) else sum(variant.depth)
    blocks = depth * (2 * width**2 + width * hidden_dim)
    rest = (identity.image_size / 16) ** 2 + (identity.classes or 0) + 9 * variant.token_dim
    return blocks + rest * width + 20 * variant.token_dim**2


def test_whatever_the_shapes_no_model_is_larger_than_its_file(golden):
    """Random shapes end in a `CheckpointError`, or in sizes that the arrays pay for."""
    draw, accepted = random.Random(0), 0
    for _ in range(3000):
        state = _shapes_of(golden, draw.choice(["t2t_vit_7", "t2t_vit_16_ghost", "t2t_vit_dense"]))
        keys = [
            key for key in state if not key.startswith("blocks.") or ".0." in key or ".3." in key
        ]
        for key in draw.sample(keys, draw.choice((1, 1, 2, 5))):
            shape = list(state[key].shape)
            for axis in range(len(shape)):
                if draw.random() < 0.4:
                    shape[axis] = draw.choice((0, 1, 2, 17, 197, 1024, HUGE))
            state[key] = np.broadcast_to(np.float32(0), shape[draw.choice((0, 0, 0, 1)) :])
            if draw.random() < 0.2:
                del state[key]
        try:
            identity = identify(state, draw.choice((None, 4)))
        except CheckpointError:
            continue
        accepted += 1
        held = sum(math.prod(array.shape) for array in state.values())
        assert _least_size(identity) < 2 * held
    assert 0 < accepted < 2500
