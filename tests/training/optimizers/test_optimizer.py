import keras
import numpy as np
import pytest

from t2t_keras import T2TViT
from t2t_keras.training.config import settings
from t2t_keras.training.model import precision
from t2t_keras.training.optimizers.gradients import LossScale
from t2t_keras.training.optimizers.optimizer import _MAKERS, SGD, AdamW, Lamb, build_optimizer
from t2t_keras.training.optimizers.rate_groups import undecayed_variables
from t2t_keras.training.schedule import PerEpoch
from t2t_keras.variants import BLOCK_TYPES, TOKEN_TYPES
from t2t_keras.weights.mapping import official_entries
from tests.conftest import DATA
from tests.support.tiny import tiny_model, tiny_variant
from tests.support.training.tiny_run import TINY


def undecayed(model):
    return {variable.path for variable in undecayed_variables(model)}


@pytest.mark.parametrize("block_type", BLOCK_TYPES)
@pytest.mark.parametrize("token_type", TOKEN_TYPES)
def test_what_decays_is_what_decays_by_the_authors_rule(token_type, block_type):
    """Vectors of theirs and the class token do not; a ghost block's factors are convolutions."""
    sizes = {"embed_dim": 16, "depth": (1, 1), "growth_rate": 8} if block_type == "dense" else {}
    variant = tiny_variant(token_type=token_type, block_type=block_type, **sizes)
    model = T2TViT(variant, weights=None, classes=3)
    expected = {
        entry.variable.path
        for entry in official_entries(model)
        if entry.variable.trainable
        and (len(entry.official_shape) <= 1 or entry.variable.name == "class_token")
    }
    assert undecayed(model) == expected
    assert "head/kernel" not in expected and "class_token/class_token" in expected


def test_a_backbone_with_other_layers_on_top_has_its_groups():
    backbone = tiny_model(include_top=False, pooling="avg")
    hidden = keras.layers.Dense(4, name="hidden")(backbone.output)
    hidden = keras.layers.RMSNormalization(name="rms")(hidden)
    model = keras.Model(backbone.input, keras.layers.Dense(2, name="flowers")(hidden))
    optimizer = build_optimizer(model, 0.1, 0.05, backbone_lr_ratio=0.1)
    on_top = {"hidden/kernel", "hidden/bias", "flowers/kernel", "flowers/bias", "rms/scale"}
    paths = {variable.path for variable in model.trainable_variables}
    assert on_top < paths and optimizer.rate_factors == dict.fromkeys(paths - on_top, 0.1)
    assert {"hidden/bias", "rms/scale", "class_token/class_token"} <= set(optimizer.undecayed)
    assert not {"hidden/kernel", "flowers/kernel"} & set(optimizer.undecayed)


def test_any_other_model_has_an_optimizer_too():
    attention = keras.layers.MultiHeadAttention(2, 3, name="attention")
    inputs = keras.Input((5, 4))
    model = keras.Model(inputs, attention(inputs, inputs))
    optimizer = build_optimizer(model, 0.1, 0.05, layer_decay=0.5)
    assert optimizer.rate_factors == {}
    biases = {v.path for v in model.variables if v.name == "bias"}
    assert len(biases) == 4 and set(optimizer.undecayed) == biases


@pytest.mark.parametrize(
    ("name", "left"),
    # Of 1.0 at a rate of 0.1 and a decay of 0.5: 0.1 x 0.5; 0.1 x (0.5 + 0.9 x 0.5); 0.1 x 1.
    [("adamw", 0.95), ("sgd", 0.905), ("lamb", 0.9)],
)
def test_a_step_without_gradients_shrinks_what_decays_and_nothing_else(name, left):
    model = T2TViT(TINY, weights=None, classes=3)
    for variable in model.trainable_variables:
        variable.assign(np.ones(variable.shape))
    optimizer = build_optimizer(model, 0.1, 0.5, name)
    optimizer.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables],
                    model.trainable_variables)  # fmt: skip
    kept = undecayed(model)
    for variable in model.trainable_variables:
        expected = 1.0 if variable.path in kept else left
        np.testing.assert_allclose(variable, expected, rtol=1e-6, err_msg=variable.path)


WEIGHTS = ([1.0, -2.0, 0.5], [0.25, -0.75])
GRADIENTS = (
    ([0.5, -1.0, 2.0], [1.0, -0.5]),  # norm 2.55
    ([-1.5, 0.25, 1.0], [0.5, 0.5]),  # norm 1.95
    ([2.0, 0.75, -0.5], [-0.25, 1.5]),  # norm 2.67
)
# After these three steps at rates of 0.1, 0.1 and 0.04, the first weight decaying by 0.3:
# `torch.optim.AdamW`, `torch.optim.SGD(nesterov=True)`, that after `clip_grad_norm_` and without
# `nesterov` (by hand), timm 1.0.31's `Lamb(max_grad_norm=None)`.
EXPECTED = [
    (AdamW, {"epsilon": 1e-8}, [0.8720232, -1.7203085, 0.2543228], [0.0342356, -0.679073]),
    (SGD, {}, [0.8616405, -1.4845941, -0.3295136], [-0.14236, -0.82512]),
    (SGD, {"clip_grad": 2.0}, [0.9300939, -1.5309868, -0.2176726], [-0.0824287, -0.8288842]),
    (SGD, {"nesterov": False}, [0.8968992, -1.6130984, -0.1055834], [-0.0304, -0.7668]),
    (Lamb, {}, [0.8617743, -1.6658759, 0.1886245], [0.0342359, -0.6790732]),
]


def stepped(optimizer, scale=1.0):
    """The weights after three steps on gradients that are `scale` times as large."""
    weights = [keras.Variable(values) for values in WEIGHTS]
    optimizer.exclude_from_weight_decay(var_list=weights[1:])
    optimizer.build(weights)
    for gradients in GRADIENTS:
        optimizer.apply([scale * keras.ops.array(values) for values in gradients], weights)
    return np.concatenate([keras.ops.convert_to_numpy(weight) for weight in weights])


@pytest.mark.parametrize(("kind", "options", "first", "second"), EXPECTED)
def test_steps_are_those_of_torch_and_timm(kind, options, first, second):
    rates = PerEpoch((0.1, 0.04), steps_per_epoch=2)
    after = stepped(kind(rates, weight_decay=0.3, **options))
    np.testing.assert_allclose(after, [*first, *second], rtol=0, atol=2e-6)


def test_epsilon_counts_as_it_does_in_torch():
    """For gradients of about 1e-7, which clipping leaves; Keras' own rule is 0.4 of a step off."""
    with np.load(DATA / "adamw_epsilon.npz") as arrays:
        start, gradients, expected = (arrays[name] for name in ("start", "gradients", "after"))
    weight, optimizer = keras.Variable(start), AdamW(1e-3, weight_decay=0.05)
    optimizer.build([weight])
    for gradient, after in zip(gradients, expected, strict=True):
        optimizer.apply([keras.ops.array(gradient)], [weight])
        moved = np.abs(after - start).max()
        np.testing.assert_allclose(weight, after, rtol=1e-6, atol=1e-4 * moved)


def test_scaled_gradients_are_clipped_unscaled():
    scaled = LossScale(SGD(0.1, clip_grad=2.0), initial_scale=1024.0)
    plain = stepped(SGD(0.1, clip_grad=2.0))
    np.testing.assert_allclose(stepped(scaled, 1024.0), plain, rtol=1e-6)
    assert int(scaled.iterations) == 3


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_overflow_skips_the_step_and_halves_the_scale(bad):
    weight = keras.Variable([1.0, 2.0])
    optimizer = LossScale(SGD(0.1, ema_decay=0.5, clip_grad=1.0, weight_decay=0.5))
    optimizer.build([weight])
    inner = [keras.ops.convert_to_numpy(v) for v in optimizer.inner_optimizer.variables]
    optimizer.apply([keras.ops.array([1.0, bad])], [weight])
    assert weight.numpy().tolist() == [1.0, 2.0]
    for variable, before in zip(optimizer.inner_optimizer.variables, inner, strict=True):
        np.testing.assert_array_equal(variable, before)
    assert float(optimizer.dynamic_scale) == 2.0**14


def test_only_float16_has_its_loss_scaled():
    with precision("float16"):
        model = T2TViT(TINY, weights=None, classes=3, classifier_activation=None)
    assert model.get_layer("pooling").compute_dtype == "float16"
    assert model.outputs[0].dtype == "float32"
    optimizer = build_optimizer(model, 0.1, 0.05, ema_decay=0.5, clip_grad=1.0)
    model.compile(optimizer)
    assert model.optimizer is optimizer and isinstance(optimizer, LossScale)
    inner = optimizer.inner_optimizer
    assert isinstance(inner, AdamW) and (inner.ema_decay, inner.clip_grad) == (0.5, 1.0)
    assert (inner.beta_1, inner.beta_2, inner.epsilon) == (0.9, 0.999, 1e-8)  # torch's
    assert Lamb().epsilon == 1e-6  # apex'
    model.compile(AdamW(0.1))  # what Keras would have put around it
    assert type(model.optimizer) is LossScale.__bases__[0]


def test_an_unknown_name_brings_the_known_ones():
    by_name = {setting.name: setting for setting in settings()}
    assert tuple(_MAKERS) == by_name["optimizer"].choices
    with pytest.raises(ValueError, match="one of adamw, sgd, lamb. Received: name=adam"):
        build_optimizer(None, 0.1, 0.0, "adam")
