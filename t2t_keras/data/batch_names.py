"""Which pictures a training batch was made of, found again without decoding any."""

import os
from collections import Counter

from t2t_keras.data.seeds import order_seed
from t2t_keras.data.sources import Source


def batch_names(source: Source, batch_size: int, seed: int, epoch: int, step: int) -> list[str]:
    """What messages call the pictures of a batch of `train_dataset`.

    Args:
        source: What is trained on.
        batch_size: Pictures a batch.
        seed: The run's.
        epoch: From 0.
        step: Within the epoch, from 0.

    Returns:
        `batch_size` files in the order of the batch; for records, which do not say where they
        stood, one line that says which places of the epoch's order they had.
    """
    names = source.train_split.names(order_seed(seed, epoch))
    first = step * batch_size
    taken = names.skip(first).take(batch_size).as_numpy_iterator()
    counts = Counter(os.fsdecode(name) for name in taken)
    if len(counts) == 1 and batch_size > 1:
        (name,) = counts
        places = f"{first} to {first + batch_size - 1}"
        return [f"{name}: places {places} of the order of epoch {epoch + 1}, from 0"]
    return list(counts.elements())
