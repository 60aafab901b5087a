"""Grad-CAM: which places of a block's map raise the score of a class."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from t2t_keras.models.structure import Parts, parts_of, require_head
from t2t_keras.visualize.attention import attending_name
from t2t_keras.visualize.forward import (
    attention_of,
    finish_block,
    logits_of,
    run_layer,
    stem_before,
    to_numpy,
    tokens_of,
    walk_encoder,
)


def grad_cam(
    model: keras.Model,
    images: Any,
    class_index: int | Sequence[int] | None = None,
    block: int | str = -1,
) -> np.ndarray:
    """Where a block's map speaks for a class.

    The channels are weighted with the mean gradient of the class' logit and summed; what is below
    0 is cut off. Of an encoder block the map is what its attention reads, behind the first norm:
    what the last block gives to the patches goes nowhere, for the head reads the class token. Of a
    stage of the stem it is its output.

    Args:
        model: A model of this package with its classifier.
        images: (B, H, W, C) preprocessed images. Gradients need all of attention at once, so
            memory limits their size.
        class_index: Number of the class, or one an image; None is each image's likeliest.
        block: Stage of the stem, or encoder block with attention.

    Returns:
        (B, h, w) float32, at least 0, in units of the logit.

    Raises:
        ValueError: The model has no classifier, the class or block is none, the images do not
            fit, or Keras' backend is neither TensorFlow nor JAX.

    Reference: arXiv:1610.02391, section 3.
    """
    parts = parts_of(model)
    require_head(parts)
    if class_index is not None:
        _check_classes(class_index, parts.head.units, len(images))
    activations, to_logits, (height, width) = _cut(parts, images, parts.name_of(block))
    if class_index is None:
        class_index = np.argmax(to_numpy(to_logits(activations)), axis=-1)
    chosen = np.eye(parts.head.units, dtype="float32")[np.broadcast_to(class_index, len(images))]
    gradient = to_numpy(_gradient(lambda at: ops.sum(to_logits(at) * chosen), activations))
    activations = to_numpy(activations)
    if activations.ndim == 3:
        gradient, activations = (
            tokens[:, 1:].reshape(len(tokens), height, width, -1)
            for tokens in (gradient, activations)
        )
    weights = gradient.mean(axis=(1, 2), keepdims=True)
    return np.maximum((weights * activations).sum(axis=-1), 0.0)


def _check_classes(class_index: int | Sequence[int], classes: int, images: int) -> None:
    numbers = np.asarray(class_index)
    fits = numbers.shape in ((), (images,)) and np.issubdtype(numbers.dtype, np.integer)
    if not fits or not np.all((0 <= numbers) & (numbers < classes)):
        raise ValueError(
            f"`class_index` must be a whole number from 0 to {classes - 1}, or one for each of "
            f"the {images} images. Received: class_index={class_index}"
        )


def _cut(parts: Parts, images: Any, name: str) -> tuple[Any, Callable[[Any], Any], tuple[int, int]]:
    """A block's activations, the way from there to the logits, and the rows and columns.

    Raises:
        ValueError: The block has no attention.
    """
    if name in parts.stages:
        index = parts.stages[name]
        after = run_layer(parts.stem[index], stem_before(parts, images, name))
        return after, lambda at: _from_stem(parts, index + 1, at), after.shape[1:3]
    attending_name(parts, name)
    feature_map = stem_before(parts, images)
    steps = walk_encoder(parts, feature_map)
    block, inputs = next((block, tokens) for block, tokens in steps if block.name == name)
    inner, index = attention_of(block), parts.block_names().index(name)

    def to_logits(at: Any) -> Any:
        return _from_block(parts, index + 1, finish_block(block, inputs, inner.attn(at)))

    return inner.norm1(inputs), to_logits, feature_map.shape[1:3]


def _from_stem(parts: Parts, index: int, feature_map: Any) -> Any:
    """The logits, from the map that goes into that layer of the stem."""
    for layer in parts.stem[index:]:
        feature_map = layer(feature_map)
    return _from_block(parts, 0, tokens_of(parts, feature_map))


def _from_block(parts: Parts, index: int, tokens: Any) -> Any:
    """The logits, from the tokens that go into that block of the encoder."""
    for block in parts.blocks[index:]:
        tokens = block(tokens)
    return logits_of(parts, tokens)


def _gradient(function: Callable[[Any], Any], at: Any) -> Any:
    """The gradient of a function with one number as its value; the one thing Keras has no word for.

    Raises:
        ValueError: Keras' backend is another than these two.
    """
    if keras.backend.backend() == "jax":
        import jax

        return jax.grad(function)(at)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(at)
            value = function(at)
        return tape.gradient(value, at)
    raise ValueError(
        "Grad-CAM needs the TensorFlow or JAX backend of Keras. "
        f"Received: KERAS_BACKEND={keras.backend.backend()}"
    )
