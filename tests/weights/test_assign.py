import logging

import numpy as np
import pytest

from t2t_keras import CheckpointError, load_official_checkpoint
from t2t_keras.weights.assign import load_state_dict
from t2t_keras.weights.mapping import official_state
from tests.conftest import DATA
from tests.support.check_layer import numpy, random
from tests.support.tiny import tiny_model

HEAD = ["head.weight", "head.bias"]
FRESH = ("head/kernel", "head/bias")


@pytest.fixture
def model():
    return tiny_model()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm.bias": None}, r"- missing: norm.bias \(32,\)"),
        ({"extra": (3,)}, r"\+ surplus: extra \(3,\)"),
        ({"\x1b[2J" + "x" * 999: (3,)}, r"\+ surplus: \\x1b\[2Jx{100,200}\.\.\.\n"),
        ({"norm.bias": (31,)}, r"! of another shape: norm.bias \(31,\), the model wants \(32,\)"),
        ({"cls_token": (1, 1, 33)}, "! of another shape: cls_token"),
        ({"pos_embed": (1, 16, 32)}, "! of another shape: pos_embed"),
        ({"head.weight": (10, 31)}, "! of another shape: head.weight"),
        ({"head.bias": (7,)}, "! of another shape: head.bias"),
        ({"head.weight": (7, 31), "head.bias": (7,)}, "! of another shape: head.weight"),
    ],
)
def test_a_misfit_changes_nothing(model, changes, message):
    state = {key: array + 1 for key, array in official_state(model).items()}
    state.update({key: shape and np.zeros(shape, "f4") for key, shape in changes.items()})
    state = {key: array for key, array in state.items() if array is not None}
    before = model.get_weights()
    with pytest.raises(CheckpointError, match=message) as caught:
        load_state_dict(model, state, "file.pth")
    assert str(caught.value).startswith("file.pth: does not fit the model, so nothing was loaded.")
    np.testing.assert_equal(model.get_weights(), before)


def test_long_lists_are_cut(model):
    with pytest.raises(CheckpointError, match="and 62 more missing"):
        load_state_dict(model, {})


FIRST_LAYERS = {  # and how far gray images may be from their RGB copies, of the largest logit
    "performer": ("attention1.kqv", 1e-5),
    "convolution": ("soft_split0", 1e-5),
    "transformer": ("attention1.attn.qkv", 0.2),  # it has no bias, so LayerNorm's beta stays behind
}


@pytest.mark.parametrize("token_type", FIRST_LAYERS)
def test_gray_images_have_the_logits_of_their_rgb_copies(token_type, tmp_path):
    model = tiny_model(token_type)
    for number, weight in enumerate(model.trainable_weights):
        weight.assign(weight + 0.1 * random(*weight.shape, seed=number))
    model.save_weights(tmp_path / "rgb.weights.h5")
    gray = tiny_model(token_type, input_shape=(64, 64, 1), weights=tmp_path / "rgb.weights.h5")
    images = random(2, 64, 64, 1)
    expected = numpy(model(np.repeat(images, 3, axis=-1)))
    atol = FIRST_LAYERS[token_type][1] * np.abs(expected).max()
    np.testing.assert_allclose(numpy(gray(images)), expected, rtol=0, atol=atol)
    gray.save_weights(tmp_path / "gray.weights.h5")
    again = tiny_model(token_type, input_shape=(64, 64, 1), weights=tmp_path / "gray.weights.h5")
    np.testing.assert_array_equal(numpy(again(images)), numpy(gray(images)))


@pytest.mark.parametrize("name", ["norm1.weight", "norm1.bias", "kqv.bias"])
def test_misfits_are_listed_for_gray_images_too(name):
    state, gray = official_state(tiny_model()), tiny_model(input_shape=(64, 64, 1))
    key = f"tokens_to_token.attention1.{name}"
    array = state.pop(key)
    for wrong in ({}, {key: array[:5]}):
        with pytest.raises(CheckpointError, match=rf"(?s)nothing was loaded.*{key} \("):
            load_state_dict(gray, state | wrong)


@pytest.mark.parametrize("token_type", FIRST_LAYERS)
def test_more_channels_repeat_the_three_by_timm_s_rule(token_type, caplog):
    state = official_state(tiny_model(token_type))
    wide = tiny_model(token_type, input_shape=(64, 64, 4))
    load_state_dict(wide, state)
    adapted = official_state(wide)
    key = f"tokens_to_token.{FIRST_LAYERS[token_type][0]}.weight"
    expected = state[key].reshape(-1, 3, 49)[:, [0, 1, 2, 0]] * 0.75
    np.testing.assert_allclose(adapted[key].reshape(expected.shape), expected, rtol=1e-6)
    assert not caplog.records


@pytest.mark.parametrize(
    ("arguments", "reason", "fresh"),
    [
        ({"classes": 7}, "for 10 classes, the model has 7 and a fresh head", FRESH),
        ({"include_top": False, "pooling": "token"}, "the model has no classifier", ()),
    ],
)
def test_a_head_that_does_not_fit_is_left_out_and_named(arguments, reason, fresh, caplog):
    model = tiny_model(**arguments)
    before = {weight.path: np.array(weight) for weight in model.weights}
    with caplog.at_level(logging.INFO):
        report = load_official_checkpoint(model, DATA / "tiny_performer.pth.tar")
    assert report.fresh == fresh
    assert {record.levelname for record in caplog.records} == {"INFO"}  # as was asked for
    assert [row.key for row in report.ignored] == HEAD
    assert {row.how for row in report.ignored} == {f"left out: {reason}"}
    assert reason in caplog.text
    kept = {weight.path: np.array(weight) for weight in model.weights if weight.path in fresh}
    np.testing.assert_equal(kept, {path: before[path] for path in fresh})


def test_auxiliary_head_of_token_labeling_is_named_and_dropped(model, caplog):
    state = official_state(model)
    state["aux_head.weight"] = np.zeros((10, 32), "float32")
    report = load_state_dict(model, state)
    assert [row.key for row in report.ignored] == ["aux_head.weight"]
    assert "aux_head.weight left out: token labeling" in caplog.text


@pytest.mark.parametrize("size", [(96, 80), (32, 128)], ids=["5x6 tokens", "2x8, as many as 4x4"])
def test_any_size_model_equals_one_of_that_size(size):
    """The table that is resized on the fly is the one that is resized at loading."""
    path = DATA / "tiny_performer.pth.tar"
    fixed, any_size = tiny_model(input_shape=(*size, 3)), tiny_model(input_shape=(None, None, 3))
    for model in (fixed, any_size):
        load_official_checkpoint(model, path)
    images = np.random.default_rng(0).standard_normal((2, *size, 3)).astype("float32")
    np.testing.assert_allclose(any_size.predict(images, verbose=0), fixed(images), atol=1e-5)


@pytest.mark.parametrize(
    ("lost", "advice"),
    [
        ((), 'It would fit create_model("t2t_vit_7", classes=1000).'),
        (HEAD, 'It would fit create_model("t2t_vit_7", include_top=False).'),
        (["norm.weight"], "Its keys and shapes are those of no published T2T-ViT."),
    ],
)
def test_another_model_is_told_which_would_fit(model, lost, advice, golden):
    shapes = dict(golden["t2t_vit_7"]["state_dict"])
    state = {key: np.zeros(shapes[key], "f4") for key in shapes if key not in lost}
    with pytest.raises(CheckpointError, match="does not fit") as caught:
        load_state_dict(model, state)
    assert str(caught.value).splitlines()[-1] == advice


def test_report_is_a_table_of_every_key():
    model = tiny_model(input_shape=(96, 160, 3))
    report = load_official_checkpoint(model, DATA / "tiny_performer.pth.tar")
    lines = str(report).splitlines()
    assert lines[0].split() == ["source", "key", "shape", "target", "shape", "how"]
    assert len(lines) == 1 + len(official_state(model))
    (table,) = [line for line in lines if line.startswith("pos_embed ")]
    assert "(1, 61, 32)" in table and table.endswith(" resized bicubically to 6x10")
