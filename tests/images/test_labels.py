import keras
import numpy as np
import pytest

from t2t_keras.images import decode_predictions, imagenet_labels


def test_labels_are_imagenets():
    labels = imagenet_labels()
    assert len(labels) == len({wnid for wnid, _ in labels}) == 1000
    assert [wnid for wnid, _ in labels] == sorted(wnid for wnid, _ in labels)
    known = {
        0: ("n01440764", "tench"),
        2: ("n01484850", "great_white_shark"),
        134: ("n02012849", "crane"),
        281: ("n02123045", "tabby"),
        517: ("n03126707", "crane"),
        607: ("n03590841", "jack-o'-lantern"),
        638: ("n03710637", "maillot"),
        639: ("n03710721", "maillot"),
        999: ("n15075141", "toilet_tissue"),
    }
    assert {index: labels[index] for index in known} == known


def test_the_likeliest_come_first():
    preds = np.zeros((2, 1000), np.float32)
    preds[0, [281, 999, 0]] = 0.5, 0.25, 0.125
    preds[1, 517] = 1
    first, second = decode_predictions(preds, top=3)
    assert first == [
        ("n02123045", "tabby", 0.5),
        ("n15075141", "toilet_tissue", 0.25),
        ("n01440764", "tench", 0.125),
    ]
    assert second[0] == ("n03126707", "crane", 1.0)
    assert all(type(score) is float for *_, score in first)
    assert [len(row) for row in decode_predictions(preds)] == [5, 5]


def test_tensors_and_other_number_types_are_taken():
    preds = np.eye(1000)[[7, 9]]
    for given in (keras.ops.convert_to_tensor(preds, "float16"), preds.astype(np.uint8)):
        assert [row[0][0] for row in decode_predictions(given, top=1)] == ["n01514668", "n01518878"]


@pytest.mark.parametrize("shape", [(1000,), (2, 10), (1, 1, 1000), (1, 1001)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"1000 ImageNet classes.*Received: preds.shape="):
        decode_predictions(np.zeros(shape))


@pytest.mark.parametrize("top", [0, -1, 1001])
def test_top_is_checked(top):
    with pytest.raises(ValueError, match=f"Received: top={top}"):
        decode_predictions(np.zeros((1, 1000)), top=top)
