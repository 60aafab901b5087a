import logging
import re

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
        ({3: np.zeros(3, "float32")}, "holds no weights of a T2T-ViT.* It has: '<int>'"),
        ({}, "holds no weights of a T2T-ViT.* It has: nothing"),
        ({"conv1.weight": np.zeros(3)}, "holds no weights of a T2T-ViT.* It has: 'conv1.weight'"),
        ({"optimizer": {"cls_token": {"step": 1}}}, "holds no weights of a T2T-ViT"),
        ({"head.weight": np.array([1e300])}, "not finite"),
    ],
)
def test_what_is_no_state_dict_is_refused(contents, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        state_dict_of(contents, source="weights.pth")
    assert str(caught.value).startswith("weights.pth: ")


def _model(value, prefix=""):
    state = {"cls_token": value, "blocks.0.attn.qkv.weight": value + 1, "head.bias": value + 2}
    return {prefix + key: np.full((1, 2), each, "float32") for key, each in state.items()}


COUNTER = {"n_averaged": np.array(7)}
OTHERS = {"epoch": 3, "optimizer": {"state": {0: {"exp_avg": np.zeros(3)}}}, "arch": "t2t_vit_14"}
WRAPPED = {
    "plain": _model(1),
    "torch.compile": _model(1, "_orig_mod."),
    "DDP": _model(1, "module."),
    "both": _model(1, "module._orig_mod."),
    "of one part alone": {key.replace("0.", "0._orig_mod."): v for key, v in _model(1).items()},
    "Lightning": {"state_dict": _model(1, "model._orig_mod."), "hyper_parameters": {"lr": 1}},
    "DeiT": {"model": _model(1), "model_ema": _model(1), **OTHERS},
    "MAE": {"model": _model(1), **OTHERS},
    "model_state_dict": {"model_state_dict": _model(1), **OTHERS},
    "averaged": {"model": {**_model(1, "module."), **COUNTER}},
    "timm": {"state_dict": _model(0, "module."), "state_dict_ema": _model(1), **OTHERS},
    "Lightning's average": {
        "state_dict": {**_model(0, "model."), **_model(1, "ema_model.module.")}
    },
    "DeepSpeed": {"module": _model(1), "dp_world_size": 1},
    "raw and ema": {"model": _model(0), "ema": {"module": _model(1), "updates": 5}},
    "weights beside a run's values": {**_model(1), **OTHERS},
    "deep": {"a": {"b": {"c": {"net": _model(1, "backbone.vit.")}}}},
}


@pytest.mark.parametrize("contents", WRAPPED.values(), ids=WRAPPED.keys())
def test_state_dicts_load_as_other_code_wraps_them(contents):
    np.testing.assert_equal(state_dict_of(contents), _model(1))


PAIRS = {
    "'student', 'teacher'": {"student": _model(0), "teacher": _model(1)},
    "'state_dict.student', 'state_dict.teacher'": {
        "state_dict": {**_model(0, "student."), **_model(1, "module.teacher.")}
    },
    "'', 'teacher'": {**_model(0), **_model(1, "teacher.")},
    "'student', 'teacher', 'ema'": {
        "student": _model(0),
        "teacher": _model(1),
        "ema": _model(2),
    },
}


@pytest.mark.parametrize(("names", "contents"), PAIRS.items())
def test_two_candidates_are_refused_by_name_and_a_key_picks_one(names, contents):
    with pytest.raises(CheckpointError, match=rf"several state dicts.*: {names}\. .*`weights_key`"):
        state_dict_of(contents)
    for value, name in enumerate(re.findall("'(.*?)'", names)):
        np.testing.assert_equal(state_dict_of(contents, name), _model(value))
    with pytest.raises(CheckpointError, match=f"no state dict called 'other'. It has {names}"):
        state_dict_of(contents, "other")


def test_what_is_no_weight_is_left_out_and_reported(caplog):
    contents = {"state_dict": {**_model(1, "model."), **COUNTER, "criterion.weight": np.ones(3)}}
    contents["state_dict"]["model.steps"] = np.array(5)
    with caplog.at_level(logging.WARNING):
        np.testing.assert_equal(state_dict_of(contents), _model(1))
    assert "left out, as no weights of the model: 'n_averaged', 'criterion.weight'" in caplog.text
    assert "'model.steps'" in caplog.text


def test_a_file_of_a_hundred_thousand_candidates_is_refused_soon():
    contents = {f"{number}.cls_token": np.ones(1, "float32") for number in range(100_000)}
    with pytest.raises(CheckpointError, match="several state dicts"):
        state_dict_of(contents)
    assert state_dict_of(contents, "7").keys() == {"cls_token"}


@pytest.mark.parametrize("value", ["text", np.zeros(2, "int64"), np.array([np.nan])])
def test_a_name_from_the_file_cannot_write_to_the_terminal_or_fill_it(value):
    with pytest.raises(CheckpointError) as caught:
        state_dict_of({"\x1b[2J\n" + "x" * 100_000: value})
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400
