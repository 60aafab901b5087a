import keras
import numpy as np
import pytest

from t2t_keras.layers import T2TBlock, attention
from t2t_keras.layers.fused_projection import normalized_projection
from t2t_keras.models.structure import parts_of
from t2t_keras.models.t2t_vit import dtype_scope
from t2t_keras.visualize import (
    attention_blocks,
    attention_rollout,
    class_attention,
    class_logits,
    grad_cam,
    stage_attention,
    token_attention,
    token_similarity,
)
from tests.support.check_layer import numpy, random
from tests.support.visualize_models import IMAGES, KINDS, small_model


@pytest.fixture(scope="module", params=KINDS)
def model(request):
    return small_model(**KINDS[request.param])


def limited(model, monkeypatch) -> int:
    """Allows so few attention weights at a time that all attention is done in slices."""
    stem = getattr(parts_of(model).stem[0], "token_type", None)
    limit = 2000 if stem == "transformer" else 100
    monkeypatch.setattr(attention, "MAX_WEIGHTS", limit)
    return limit * len(IMAGES)


def test_a_block_s_output_follows_from_the_weights(model):
    name = attention_blocks(model)[-1]
    block = model.get_layer(name)
    tokens = keras.Model(model.input, block.input)(IMAGES)
    inner = getattr(block, "block", block)
    values = numpy(inner.attn.project(inner.norm1(tokens))[2])
    batch, count, width = values.shape
    by_head = values.reshape(batch, count, 2, width // 2).transpose(0, 2, 1, 3)
    weights = token_attention(model, IMAGES, name)
    mixed = (weights @ by_head).transpose(0, 2, 1, 3).reshape(batch, count, width)
    outputs = inner.add_branches(tokens, inner.attn.proj(mixed))
    if inner is not block:
        outputs = block.grow(tokens, outputs)
    np.testing.assert_allclose(numpy(outputs), numpy(block(tokens)), rtol=1e-4, atol=1e-5)
    by_class = class_attention(model, IMAGES, [name])[:, 0]
    np.testing.assert_allclose(by_class, weights[:, :, 0, 1:].reshape(by_class.shape), rtol=1e-5)


def test_attention_in_slices_ends_at_the_model_s_logits(model, monkeypatch):
    limit = limited(model, monkeypatch)
    sizes, softmax = [], keras.ops.softmax

    def counted(scores, axis):
        sizes.append(np.prod(scores.shape))
        return softmax(scores, axis)

    monkeypatch.setattr(keras.ops, "softmax", counted)
    logits = class_logits(model, IMAGES)
    assert max(sizes) <= limit
    monkeypatch.undo()
    np.testing.assert_allclose(logits, numpy(model(IMAGES)), rtol=1e-4, atol=1e-6)


def test_rollout_is_the_product_of_the_blocks_matrices(model, monkeypatch):
    matrix = np.eye(9)
    for name in attention_blocks(model):
        weights = token_attention(model, IMAGES, name).mean(axis=1)
        matrix = (0.5 * weights + 0.5 * np.eye(9)) @ matrix
    limited(model, monkeypatch)
    rollout = attention_rollout(model, IMAGES)
    np.testing.assert_allclose(rollout, matrix[:, 0, 1:].reshape(2, 2, 4), rtol=1e-4)


@pytest.mark.parametrize("kind", ["performer", "dense"])
@pytest.mark.parametrize("stage", ["t2t_block_0", "t2t_block_1"])
def test_a_stage_s_output_follows_from_the_weights(kind, stage):
    model = small_model(**KINDS[kind])
    block = model.get_layer(stage)
    feature_map = keras.Model(model.input, block.input)(IMAGES)
    stride = parts_of(model).grid_of(stage).stride
    points = [(1, 1), (1 + stride, 1 + 5 * stride)]
    weights = stage_attention(model, IMAGES, stage, points)
    layer, split = block.token_layer, (block.kernel_size, block.strides, block.padding)
    projected = normalized_projection(feature_map, layer.norm1, layer.in_proj, *split)
    rows = keras.ops.reshape(projected, (2, -1, projected.shape[-1]))
    values, attended = layer.attention(rows)
    expected = np.reshape(numpy(attended), (*weights.shape[:1], *weights.shape[2:], -1))
    mixed = weights.reshape(2, 2, -1) @ numpy(values)
    np.testing.assert_allclose(mixed[:, 0], expected[:, 0, 0], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(mixed[:, 1], expected[:, 1, 5], rtol=1e-3, atol=1e-6)
    assert weights.sum(axis=(2, 3)).max() == pytest.approx(1, rel=1e-3)


def test_a_model_is_not_changed_and_takes_images_of_another_size():
    model = small_model()
    before, weights = model.to_json(), model.get_weights()
    wide = random(1, 16, 96, 3)
    assert class_attention(model, wide).shape == (1, 2, 2, 1, 6)
    assert grad_cam(model, wide).shape == grad_cam(model, wide, block="project").shape == (1, 1, 6)
    assert model.to_json() == before
    np.testing.assert_equal(model.get_weights(), weights)
    other, table = small_model(input_shape=(16, 96, 3)), model.get_layer("position_table")
    for old, new in zip(model.weights, other.weights, strict=True):
        if old is table.position_table:  # as it is for 1 x 6 tokens
            old = table(keras.ops.zeros((1, 7, old.shape[-1])), keras.ops.zeros((1, 1, 6, 1)))
        new.assign(old)
    np.testing.assert_allclose(class_logits(model, wide), numpy(other(wide)), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_weights_are_the_layer_s_own_under_half_precision(precision):
    with dtype_scope(precision):
        model = small_model(block_type="ghost")
    np.testing.assert_array_equal(class_logits(model, IMAGES), numpy(model(IMAGES)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: class_attention(m, IMAGES, ["encoder_block_9"]), "encoder_block_0 to"),
        (lambda m: class_attention(m, IMAGES, [2]), "a number from -2 to 1"),
        (lambda m: class_attention(m, IMAGES, ["t2t_block_0"]), "`stage_attention` is for"),
        (lambda m: class_attention(m, IMAGES, []), "`blocks` must be None or a list"),
        (lambda m: class_attention(m, IMAGES[0]), "`images` must be a batch"),
        (lambda m: class_attention(m, IMAGES[:, :8]), "at least 16 pixels"),
        (lambda m: token_attention(m, IMAGES, 0, [9]), "0 to 8"),
        (lambda m: token_similarity(m, IMAGES, [(0, 64)]), "inside the image"),
        (lambda m: token_similarity(m, IMAGES, [(0, 0)], "block_9"), "encoder_block_0 to"),
        (lambda m: token_similarity(m, IMAGES[..., :1], [(0, 0)]), "`images` must be a batch"),
        (lambda m: stage_attention(m, IMAGES, "project", [(0, 0)]), "t2t_block_0, t2t_block_1"),
        (lambda m: stage_attention(m, IMAGES, "t2t_block_0", [(32, 0)]), "inside the image"),
        (lambda m: stage_attention(m, IMAGES, "t2t_block_0", []), "at least one"),
        (lambda m: grad_cam(m, IMAGES, 0, "encoder_norm"), "with attention"),
        *(
            (lambda m, n=number: grad_cam(m, IMAGES, n), "`class_index` must be .* 0 to 4")
            for number in (-1, 5, 1.5, [0, 1, 2], [0, 9])
        ),
        (lambda m: class_attention(keras.Sequential(name="mine"), IMAGES), "model=mine"),
        (lambda m: class_attention(None, IMAGES), "a model of this package"),
    ],
)
def test_what_cannot_be_shown_is_named_before_anything_is_computed(call, message, monkeypatch):
    model = small_model()
    monkeypatch.setattr(T2TBlock, "call", lambda *_, **__: pytest.fail("the stem has run"))
    with pytest.raises(ValueError, match=message):
        call(model)


def test_models_and_blocks_without_attention_are_pointed_out():
    dense = small_model(**KINDS["dense"])
    assert attention_blocks(dense) == ["dense_growth_block_0", "dense_growth_block_2"]
    message = "with attention.*block=transition_1"
    with pytest.raises(ValueError, match=message):
        class_attention(dense, IMAGES, ["transition_1"])
    with pytest.raises(ValueError, match=message):
        grad_cam(dense, IMAGES, 0, "transition_1")
    with pytest.raises(ValueError, match="its stem has no attention"):
        stage_attention(small_model(**KINDS["convolution"]), IMAGES, "convolution_0", [(0, 0)])
    with pytest.raises(ValueError, match=r'model.get_layer\("small"\)'):
        class_attention(keras.Sequential([small_model(), keras.layers.Dense(2)]), IMAGES)
