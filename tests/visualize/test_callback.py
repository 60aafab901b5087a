from unittest.mock import Mock

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from t2t_keras.images import CIFAR_MEAN, CIFAR_STD, preprocess_input
from t2t_keras.visualize import AttentionImages, callback
from tests.support.visualize_models import KINDS, small_model

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), dtype=np.uint8)


def test_every_other_epoch_has_an_event_with_each_image_and_its_overlay(tmp_path):
    model = small_model()
    model.compile("sgd", "mse", run_eagerly=True)
    targets = np.eye(model.output_shape[-1])[: len(IMAGES)]
    callback = AttentionImages(IMAGES, tmp_path, every=2)
    inputs = np.zeros((len(IMAGES), *model.input_shape[1:]))
    model.fit(inputs, targets, epochs=3, verbose=0, callbacks=[callback])
    events = EventAccumulator(str(tmp_path / "attention"), size_guidance={"tensors": 0}).Reload()
    written = [(event.step, event.tensor_proto.string_val) for event in events.Tensors("attention")]
    assert [step for step, _ in written] == [0, 2]
    for _, strings in written:
        assert (int(strings[0]), int(strings[1]), len(strings) - 2) == (2 * 48 + 4, 32, 2)
        assert all(string.startswith(b"\x89PNG") for string in strings[2:])


def test_images_are_normalized_by_the_model_s_own_statistics(tmp_path, monkeypatch):
    attention = Mock(wraps=callback.class_attention)
    monkeypatch.setattr(callback, "class_attention", attention)
    cifar = (IMAGES / 255 - CIFAR_MEAN) / CIFAR_STD
    of_cifar = {"mean": CIFAR_MEAN, "std": CIFAR_STD}
    for given, expected in (({}, preprocess_input(IMAGES)), (of_cifar, cifar)):
        images = AttentionImages(IMAGES, tmp_path, **given)
        images.set_model(small_model())
        assert images._images().shape == (2, 32, 100, 3)
        np.testing.assert_allclose(attention.call_args[0][1], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": IMAGES / 255}, "uint8"),
        ({"images": IMAGES[0]}, "uint8"),
        ({"images": IMAGES[:0]}, "uint8"),
        ({"every": 0}, "`every` must be at least 1"),
        ({"std": (0.2, 0.2, 0)}, "`std` must be three numbers in 0..1, above 0"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        AttentionImages(**{"images": IMAGES, "log_dir": tmp_path, **arguments})


@pytest.mark.parametrize(("block", "model"), [("transition_1", KINDS["dense"]), (7, {}), (0, None)])
def test_a_block_without_attention_stops_training_at_its_beginning(block, model, tmp_path):
    callback = AttentionImages(IMAGES, tmp_path, block)
    callback.set_model(keras.Sequential() if model is None else small_model(**model))
    with pytest.raises(ValueError, match="`block` must be|`model` must be"):
        callback.on_train_begin()
    assert list(tmp_path.iterdir()) == []
