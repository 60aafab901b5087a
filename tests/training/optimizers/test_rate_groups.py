import keras
import numpy as np
import pytest

from t2t_keras import T2TViT
from t2t_keras.training import build_optimizer
from t2t_keras.training.optimizers.rate_groups import rate_factors
from tests.support.tiny import tiny_model, tiny_variant

TRANSFER = {"name": "sgd", "backbone_lr_ratio": 0.01, "decay_all": True, "nesterov": False}
FROZEN = {"position_table/position_table"} | {
    f"t2t_block_{index}/token_layer/random_features" for index in (0, 1)
}


@pytest.fixture(scope="module")
def model():
    return tiny_model(classes=3)


def moved(model, optimizer) -> dict[str, np.ndarray]:
    """The distance that one step on gradients of 1 moves each variable."""
    before = {variable.path: variable.numpy() for variable in model.variables}
    gradients = [keras.ops.ones(variable.shape) for variable in model.trainable_variables]
    optimizer.apply(gradients, model.trainable_variables)
    steps = {v.path: before[v.path] - v.numpy() for v in model.variables if v.path in before}
    for variable in model.variables:
        variable.assign(before[variable.path])
    return {path: step for path, step in steps.items() if "seed_generator" not in path}


def test_the_classifier_takes_whole_steps_and_all_else_a_hundredth(model):
    steps = moved(model, build_optimizer(model, 0.5, 0.0, **TRANSFER))
    for path, step in steps.items():
        expected = 0.0 if path in FROZEN else 0.5 if path.startswith("head/") else 0.005
        np.testing.assert_allclose(step, expected, rtol=2e-3, atol=1e-7, err_msg=path)
    # What the authors' groups leave out is trained here.
    assert {"class_token/class_token", "encoder_norm/gamma", "encoder_norm/beta"} <= set(steps)


def test_the_decay_is_torch_s_and_takes_everything_at_its_own_rate(model):
    plain = moved(model, build_optimizer(model, 0.5, 0.0, **TRANSFER))
    decayed = moved(model, build_optimizer(model, 0.5, 0.1, **TRANSFER))
    for variable in model.trainable_variables:
        rate = 0.5 if variable.path.startswith("head/") else 0.005
        more = decayed[variable.path] - plain[variable.path]
        wanted = rate * 0.1 * variable.numpy()
        np.testing.assert_allclose(more, wanted, atol=3e-7, err_msg=variable.path)


def test_adamw_s_steps_and_decay_shrink_from_block_to_block(model):
    steps = moved(model, build_optimizer(model, 0.1, 0.0, layer_decay=0.5))
    # Three blocks; the lowest step is that of stem and class token.
    shares = {"head/": 1.0, "encoder_norm/": 1.0, "encoder_block_2/": 0.5,
              "encoder_block_1/": 0.25, "encoder_block_0/": 0.125,
              "t2t_block_": 0.0625, "project/": 0.0625, "class_token/": 0.0625}  # fmt: skip
    decays = moved(model, build_optimizer(model, 0.1, 0.2, layer_decay=0.5))
    for path, step in steps.items():
        share = next((share for start, share in shares.items() if path.startswith(start)), 0.0)
        share = 0.0 if path in FROZEN else share
        np.testing.assert_allclose(step, 0.1 * share, rtol=2e-3, atol=1e-7, err_msg=path)
    weights = {variable.path: variable.numpy() for variable in model.variables}
    for path, share in (("head/kernel", 1.0), ("encoder_block_0/mlp/fc1/kernel", 0.125)):
        more = decays[path] - steps[path]
        np.testing.assert_allclose(more, 0.1 * share * 0.2 * weights[path], atol=3e-7)
    np.testing.assert_allclose(decays["head/bias"], steps["head/bias"], atol=1e-7)


def test_groups_of_a_dense_encoder_count_its_transitions():
    dense = tiny_variant(block_type="dense", embed_dim=16, depth=(1, 1), growth_rate=8)
    factors = rate_factors(T2TViT(dense, weights=None, classes=3), layer_decay=0.5)
    assert factors["dense_growth_block_0/block/norm1/gamma"] == 0.125
    assert factors["dense_growth_block_2/block/norm1/gamma"] == 0.5
    assert set(factors.values()) == {0.0625, 0.125, 0.25, 0.5}


@pytest.mark.parametrize(
    ("setting", "value"), [("backbone_lr_ratio", 0.0), ("layer_decay", 0.0), ("layer_decay", 1.5)]
)
def test_a_group_out_of_range_is_named(setting, value, model):
    with pytest.raises(ValueError, match=f"`{setting}` must be .*Received: {setting}={value}"):
        rate_factors(model, **{setting: value})
