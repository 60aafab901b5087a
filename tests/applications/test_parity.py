"""The authors' numbers: full-size logits, tiny intermediates, fifty steps of training."""

import json

import keras
import numpy as np
import pytest

from t2t_keras import (
    VARIANTS,
    count_macs,
    create_model,
    load_official_checkpoint,
)
from t2t_keras.training.optimizers.optimizer import build_optimizer
from t2t_keras.weights.assign import load_state_dict
from t2t_keras.weights.mapping import official_state
from tests.conftest import DATA, official_weights
from tests.support.check_layer import random
from tests.support.macs_by_hand import macs_by_hand
from tests.support.tiny import outputs_of, tiny_model

FULL_SIZE = sorted(json.loads((DATA / "full_size.json").read_text()))
# What differs in depth and width alone runs the same ops: JAX compiles minutes for these.
DEEPER = {f"t2t_vit_{name}" for name in ("10", "12", "19", "24", "t_19", "t_24", "14_384")}


def test_every_variant_but_one_has_official_numbers():
    assert len(FULL_SIZE) == 15
    assert VARIANTS.keys() - set(FULL_SIZE) == {"t2t_vit_c_14"}


@pytest.mark.parametrize("name", FULL_SIZE)
def test_full_size_counts_and_logits(name, golden):
    if keras.backend.backend() == "jax" and name in DEEPER:
        pytest.skip("TensorFlow's part has them all")
    expected = golden[name]
    size = expected["image_size"]
    model = create_model(
        name.removesuffix("_384"),
        weights=None,
        input_shape=(size, size, 3),
        classifier_activation=None,
    )
    assert model.count_params() == expected["params"]
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert trainable == expected["trainable_params"]
    if name in VARIANTS:
        assert count_macs(model) == macs_by_hand(VARIANTS[name])
    load_state_dict(
        model, {key: official_weights(key, shape) for key, shape in expected["state_dict"]}
    )
    images = np.random.default_rng(0).standard_normal((2, size, size, 3)).astype("float32")
    logits = outputs_of(model, images)
    difference = np.abs(logits[:, :8] - expected["logits_first_8"]).max()
    assert difference <= 2e-5 * expected["logits_std"]
    assert logits.argmax(axis=1).tolist() == expected["argmax"]
    assert logits.std() == pytest.approx(expected["logits_std"], rel=1e-5)


def _stages(model):
    """Every intermediate output that there is an official number for, by Keras' own means."""
    names = {
        "tokens_to_token.attention1": "t2t_block_0",
        "tokens_to_token.attention2": "t2t_block_1",
        "tokens_to_token": "project",
        "blocks.0": "encoder_block_0",
        "blocks.1": "encoder_block_1",
        "blocks.2": "encoder_block_2",
        "norm": "encoder_norm",
    }
    outputs = {stage: model.get_layer(name).output for stage, name in names.items()}
    return keras.Model(model.input, {**outputs, "logits": model.output})


@pytest.mark.parametrize("token_type", ["performer", "transformer"])
def test_every_intermediate_of_the_tiny_models(token_type, tiny_expected):
    model = tiny_model(token_type)
    load_official_checkpoint(model, DATA / f"tiny_{token_type}.pth.tar")
    outputs = _stages(model).predict(tiny_expected["images"], verbose=0)
    assert len(outputs) == 8
    for stage, output in outputs.items():
        expected = tiny_expected[f"{token_type}/{stage}"]
        difference = np.abs(output.reshape(expected.shape) - expected).max()
        assert difference <= 1e-5 * np.abs(expected).max(), stage


def _without_dropout(model):
    for index in range(2):
        layer = model.get_layer(f"t2t_block_{index}").token_layer
        layer.proj_drop.rate = layer.mlp_drop.rate = 0.0


def test_fifty_steps_of_training():
    """With clipping to a norm that makes gradients of 1e-7, where the place of epsilon counts.

    The expected values are those of the authors' model and `torch.optim.AdamW` in float64: losses,
    about 200 weights of each tensor at the end, and how far its farthest has moved.
    """
    with np.load(DATA / "trajectory.npz") as arrays:
        expected = dict(arrays)
    model = tiny_model()
    load_official_checkpoint(model, DATA / "trajectory_start.pth")
    _without_dropout(model)
    model.compile(
        build_optimizer(model, 1e-3, weight_decay=0.05, clip_grad=1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=keras.backend.backend() == "jax",
    )
    images = random(8, 64, 64, 3, seed=11)
    losses = [model.train_on_batch(images, expected["labels"]) for _ in range(50)]
    np.testing.assert_allclose(losses, expected["losses"], rtol=1e-4)
    state = official_state(model)
    for key in (name[4:] for name in expected if name.startswith("end/")):
        values, end = state[key].ravel(), expected[f"end/{key}"]
        difference = np.abs(values[:: max(1, values.size // 200)] - end).max()
        assert difference <= 1e-4 * expected[f"moved/{key}"], key
    assert sum(name.startswith("end/") for name in expected) == len(model.trainable_variables)
