import numpy as np
import pytest

from t2t_keras import CheckpointError, read_torch_checkpoint
from t2t_keras.weights.state_dict import state_dict_of
from tests.conftest import DATA


def _dict(value=1.0, **extra):
    return {"head.weight": np.full((2, 3), value, "float32"), **extra}


def test_averaged_weights_come_first_and_a_name_that_is_not_there_is_an_error():
    contents = {"state_dict": _dict(0), "state_dict_ema": _dict(1), "net": _dict(2), "epoch": 3}
    with pytest.raises(CheckpointError, match="no state dict called 'model'.*state_dict_ema"):
        state_dict_of(contents, "model")
    for key, value in (("state_dict_ema", 1), ("state_dict", 0), ("net", 2)):
        assert state_dict_of(contents)["head.weight"][0, 0] == value
        assert state_dict_of(contents, key)["head.weight"][0, 0] == value
        del contents[key]
    assert state_dict_of(_dict(5))["head.weight"][0, 0] == 5


def test_every_golden_layout_gives_the_same_weights():
    """The zeros under `state_dict` are not what is taken, and `module.` is gone."""
    files = ["tiny_performer.pth.tar", "tiny_performer_legacy.pth.tar", "tiny_cifar_layout.pth"]
    states = [state_dict_of(read_torch_checkpoint(DATA / file)) for file in files]
    for state in states:
        assert state.keys() == states[0].keys()
        assert np.abs(state["head.weight"]).max() > 0
    np.testing.assert_equal(states[0], states[1])


def test_half_precision_becomes_float32():
    half = state_dict_of(read_torch_checkpoint(DATA / "tiny_transformer_half.pth.tar"))
    full = state_dict_of(read_torch_checkpoint(DATA / "tiny_transformer.pth.tar"))
    for key, array in half.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, full[key].astype(np.float16))


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ([1], "holds a list"),
        (_dict(np.nan), "'head.weight' holds values that are not finite"),
        (_dict(np.inf), "'head.weight' holds values that are not finite"),
        (_dict(**{"module.head.weight": np.zeros(3, "float32")}), "'head.weight' is there twice"),
        (_dict(**{"head.bias": np.zeros(3, "int64")}), "'head.bias' has dtype int64"),
        (_dict(**{"head.bias": "text"}), "'head.bias' is a str"),
        ({3: np.zeros(3, "float32")}, "3 is no name"),
        ({"head.weight": np.array([1e300])}, "not finite"),
    ],
)
def test_what_is_no_state_dict_is_refused(contents, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        state_dict_of(contents, source="weights.pth")
    assert str(caught.value).startswith("weights.pth: ")


@pytest.mark.parametrize("value", ["text", np.zeros(2, "int64"), np.array([np.nan])])
def test_a_name_from_the_file_cannot_write_to_the_terminal_or_fill_it(value):
    with pytest.raises(CheckpointError) as caught:
        state_dict_of({"\x1b[2J\n" + "x" * 100_000: value})
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400
