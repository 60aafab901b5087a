"""Grad-CAM: the places of a block's map that raise the score of a class."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from t2t_keras.errors import check
from t2t_keras.layers import DenseGrowthBlock
from t2t_keras.models.structure import Parts, logits_of, parts_of, require_head
from t2t_keras.visualize.forward import (
    Tensor,
    attending_name,
    attention_of,
    in_policy_of,
    map_size,
    run,
    to_numpy,
)


def grad_cam(
    model: keras.Model,
    images: Any,
    class_index: int | Sequence[int] | None = None,
    block: int | str = -1,
) -> np.ndarray:
    """The evidence for a class at each place of a block's map.

    The channels are weighted with the mean gradient of the class' logit and summed; negative sums
    become 0. An encoder block's map is the input of its attention, after the first norm: the last
    block's outputs for the patches go nowhere, as the head reads the class token. A stage's map is
    its output.

    Args:
        model: A model of this package with its classifier.
        images: (B, H, W, C) preprocessed images. Gradients need all of attention at once, so
            memory limits their size.
        class_index: Number of the class, or one per image; None is each image's likeliest.
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
    name, classes = parts.name_of(block), parts.head.units
    if class_index is not None:
        numbers = np.asarray(class_index)
        fits = numbers.shape in ((), (len(images),)) and np.issubdtype(numbers.dtype, np.integer)
        valid = fits and bool(np.all((0 <= numbers) & (numbers < classes)))
        expected = f"a whole number from 0 to {classes - 1}, or one for each of the "
        check(valid, "class_index", class_index, f"{expected}{len(images)} images")
    activations, to_logits = _cut(parts, images, name)
    if class_index is None:
        class_index = np.argmax(to_numpy(to_logits(activations)), axis=-1)
    chosen = np.eye(classes, dtype="float32")[np.broadcast_to(class_index, len(images))]
    gradient = to_numpy(_gradient(lambda at: ops.sum(to_logits(at) * chosen), activations))
    activations = to_numpy(activations)
    if activations.ndim == 3:
        grid = map_size(parts, images, name)
        gradient, activations = (
            tokens[:, 1:].reshape(len(tokens), *grid, -1) for tokens in (gradient, activations)
        )
    weights = gradient.mean(axis=(1, 2), keepdims=True)
    return np.maximum((weights * activations).sum(axis=-1), 0.0)


def _cut(parts: Parts, images: Any, name: str) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """A block's activations, and the function from there to the float32 logits."""
    layer = parts.model.get_layer(attending_name(parts, name) if name not in parts.stages else name)
    rest = keras.Model(layer.output, logits_of(parts))

    def to_logits(outputs: Tensor) -> Tensor:
        return ops.cast(rest.call(outputs, training=False), "float32")

    if name in parts.stages:
        (activations,) = run(parts, images, [layer.output])
        return activations, to_logits
    (inputs,) = run(parts, images, [layer.input])
    inner = attention_of(layer)

    def from_attention(at: Tensor) -> Tensor:
        both = [inputs, inner.attn(at)]
        outputs = in_policy_of(inner, lambda both: inner.add_branches(*both), both)
        if isinstance(layer, DenseGrowthBlock):
            outputs = in_policy_of(layer, lambda both: layer.grow(*both), [inputs, outputs])
        return to_logits(outputs)

    return inner.norm1(inputs), from_attention


def _gradient(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """The gradient of a function with a single number as its value, which Keras has no op for."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.grad(function)(at)
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(at)
            value = function(at)
        return tape.gradient(value, at)
    raise ValueError(f"Grad-CAM needs TensorFlow or JAX. Received: KERAS_BACKEND={backend}")
