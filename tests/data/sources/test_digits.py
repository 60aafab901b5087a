import socket
from unittest.mock import Mock

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from t2t_keras.data.sources.digits import prepare_digits
from t2t_keras.data.sources.source import open_source


def _decoded(split):
    return [
        (tf.io.decode_png(example["image"]).numpy(), int(example["label"])) for example in split
    ]


def test_every_digit_is_in_one_split_once(digits):
    train, test = _decoded(digits.train()), _decoded(digits.evaluation())
    assert (len(train), len(test)) == (digits.num_train, digits.num_eval) == (1437, 360)
    original = load_digits()
    levels = np.round(original.images * 255 / 16).astype(np.uint8)
    expected = sorted((image.tobytes(), label) for image, label in zip(levels, original.target))  # noqa: B905
    assert sorted((image.tobytes(), label) for image, label in train + test) == expected
    assert train[0][0].shape == (8, 8, 1)
    for split in (train, test):  # each class has its share
        counts = np.bincount([label for _, label in split])
        np.testing.assert_allclose(counts, np.bincount(original.target) * len(split) / 1797, atol=1)


def test_preparing_is_silent_offline_and_repeatable(tmp_path, monkeypatch, capfd, digits):
    for owner, name in ((socket.socket, "connect"), (socket, "getaddrinfo")):
        monkeypatch.setattr(owner, name, Mock(side_effect=AssertionError("the network")))
    first = prepare_digits(tmp_path)
    assert first.data_path == prepare_digits(tmp_path).data_path
    assert capfd.readouterr().out == ""
    again = open_source("digits", tmp_path)
    for mine, other in zip(again.train(), digits.train(), strict=True):
        assert mine["image"] == other["image"] and mine["label"] == other["label"]
