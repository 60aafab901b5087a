import keras
import numpy as np
import pytest

from t2t_keras import T2TViT
from t2t_keras.training.optimizer import build_optimizer, undecayed_variables
from tests.tiny import tiny_model, tiny_variant


def undecayed(model):
    return {variable.path for variable in undecayed_variables(model)}


@pytest.mark.parametrize("token_type", ["performer", "transformer", "convolution"])
def test_vectors_and_the_class_token_do_not_decay(token_type):
    model = tiny_model(token_type)
    expected = {
        weight.path
        for weight in model.trainable_variables
        if len(weight.shape) == 1 or weight.path == "class_token/class_token"
    }
    assert undecayed(model) == expected
    assert "head/kernel" not in expected and "class_token/class_token" in expected


def test_a_ghost_block_s_factors_decay_as_the_authors_do():
    variant = tiny_variant(block_type="ghost")
    model = T2TViT(variant, weights=None, classes=3)
    scales = [v for v in model.trainable_variables if "scale" in v.path]
    assert len(scales) == 5 * variant.depth
    assert not undecayed(model) & {scale.path for scale in scales}


def test_a_step_without_gradients_shrinks_what_decays_and_nothing_else():
    model = tiny_model()
    for variable in model.trainable_variables:
        variable.assign(np.ones(variable.shape))
    optimizer = build_optimizer(model, learning_rate=0.1, weight_decay=0.5)
    optimizer.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables],
                    model.trainable_variables)  # fmt: skip
    kept = undecayed(model)
    for variable in model.trainable_variables:
        expected = 1.0 if variable.path in kept else 1.0 - 0.1 * 0.5
        np.testing.assert_allclose(variable, expected, rtol=1e-6, err_msg=variable.path)


def test_the_moments_are_torch_s():
    optimizer = build_optimizer(tiny_model(), 1e-3, 0.05)
    assert (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == (0.9, 0.999, 1e-8)
