import keras
import numpy as np
import pytest

from t2t_keras.models.structure import parts_of
from t2t_keras.visualize import class_logits, grad_cam
from t2t_keras.visualize.grad_cam import _cut, _gradient
from tests.support.check_layer import numpy, random
from tests.support.visualize_models import IMAGES, KINDS, small_model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("last", [False, True])
def test_the_way_from_a_block_to_the_logits_is_the_model_s(kind, last):
    model = small_model(**KINDS[kind])
    parts = parts_of(model)
    block = parts.block_names()[-1] if last else list(parts.stages)[1]
    activations, to_logits = _cut(parts, IMAGES, block)
    np.testing.assert_allclose(
        numpy(to_logits(activations)), numpy(model(IMAGES)), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("block", ["project", -1])
def test_the_map_is_the_formula_with_a_gradient_by_differences(block):
    model, number = small_model(), 3
    parts = parts_of(model)
    activations, to_logits = _cut(parts, IMAGES[:1], parts.name_of(block))
    grid = (2, 4)
    start = numpy(activations)
    patches = start.reshape(1, *grid, -1) if start.ndim == 4 else start[:, 1:].reshape(1, *grid, -1)
    width = start.shape[-1]
    # A step of one channel in all patches at once gives the sum of its gradients; one a row.
    steps = np.zeros((width, *start.shape[1:]), "float32")
    for channel in range(width):
        steps[channel, ..., channel] = 1e-2
    if start.ndim == 3:
        steps[:, 0] = 0  # the class token
    up, down = (numpy(to_logits(start + sign * steps))[:, number] for sign in (1, -1))
    means = (up - down) / 2e-2 / np.prod(grid)
    expected = np.maximum((patches * means).sum(axis=-1), 0)
    found = grad_cam(model, IMAGES[:1], number, block)
    np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(patches * means).sum(-1).max())
    assert found.shape == (1, *grid)


def test_the_likeliest_class_is_taken_where_none_is_given_and_another_backend_named(monkeypatch):
    model = small_model()
    likeliest = class_logits(model, IMAGES).argmax(axis=1)
    np.testing.assert_allclose(grad_cam(model, IMAGES), grad_cam(model, IMAGES, likeliest))
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(ValueError, match="KERAS_BACKEND=torch"):
        _gradient(keras.ops.sum, random(2))
