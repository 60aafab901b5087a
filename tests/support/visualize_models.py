"""Small models of every kind, for images that are no squares."""

import functools

import keras

from t2t_keras import T2TViT
from tests.support.check_layer import random
from tests.support.tiny import tiny_variant

IMAGES = random(2, 32, 64, 3)
KINDS = {  # every kind of block, and every kind of stem
    "performer": {},
    "ghost": {"block_type": "ghost"},
    "convolution": {"token_type": "convolution", "block_type": "squeeze_excite"},
    "dense": dict(token_type="transformer", block_type="dense", depth=(1, 1), growth_rate=16),
}


@functools.cache
def _cached(policy: str, input_shape: tuple[int, int, int], fields: frozenset) -> keras.Model:
    variant = tiny_variant(**{"depth": 2, "token_dim": 8, **dict(fields)})
    head = {"classes": 5, "classifier_activation": None}
    model = T2TViT(variant, input_shape=input_shape, **head, name="small")
    for number, weight in enumerate(model.trainable_weights):
        # The initial weights are so small that all patches get nearly the same attention.
        weight.assign_add(random(*weight.shape, seed=number, scale=0.15))
    return model


def small_model(input_shape: tuple[int, int, int] = (32, 64, 3), **fields) -> keras.Model:
    """A model of two blocks and five classes that gives logits; made once for all tests."""
    return _cached(keras.config.dtype_policy().name, input_shape, frozenset(fields.items()))
