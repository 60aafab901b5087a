"""Class names of ImageNet and CIFAR, and decoded predictions."""

import functools
import importlib.resources
from typing import Any

import numpy as np
from keras import ops

from t2t_keras.errors import check

CIFAR10_LABELS = tuple("airplane automobile bird cat deer dog frog horse ship truck".split())
CIFAR100_LABELS = tuple(
    """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
    camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile
    cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp
    lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
    oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
    possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
    spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
    train trout tulip turtle wardrobe whale willow_tree wolf woman worm
    """.split()
)


@functools.cache
def imagenet_labels() -> tuple[tuple[str, str], ...]:
    """Reads the 1,000 classes in the order of the models' outputs, each as (wnid, name)."""
    text = importlib.resources.files(__package__).joinpath("imagenet_labels.txt").read_text("utf-8")
    wnids_and_names = (line.split(" ") for line in text.splitlines())
    return tuple((wnid, name) for wnid, name in wnids_and_names)


def decode_predictions(preds: Any, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """Names the likeliest ImageNet classes of each row.

    Args:
        preds: (B, 1000) scores, an array or a tensor.
        top: Number of classes a row, 1 to 1000.

    Returns:
        A list for each row, best first, of (wnid, name, score).

    Raises:
        ValueError: `preds` is not (B, 1000), or `top` is out of range.
    """
    labels = imagenet_labels()
    preds = np.asarray(ops.convert_to_numpy(preds), dtype="float64")
    if preds.ndim != 2 or preds.shape[1] != len(labels):
        raise ValueError(
            "`preds` must be a batch of scores for the 1000 ImageNet classes, (B, 1000). "
            f"Received: preds.shape={preds.shape}"
        )
    check(1 <= top <= len(labels), "top", top, f"1 to {len(labels)}")
    order = np.argsort(-preds, axis=1, kind="stable")[:, :top]
    return [
        [(*labels[index], float(row[index])) for index in best]
        for row, best in zip(preds, order, strict=True)
    ]
