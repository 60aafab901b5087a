"""A pickle wrapped in either of torch's formats, the rest of the file being in order."""

from collections.abc import Iterator

import numpy as np

from tests.support.weights import torch_writer as torch

Vectors = Iterator[tuple[str, bytes]]
_LARGE_PICKLE = 100_000


def in_both_formats(name: str, pickled: bytes, numel: int = 4) -> Vectors:
    """The pickle as a zip file and as a stream, with the storage "0" if the pickle asks for it."""
    keys = ["0"] if torch.text("storage") in pickled else []
    data = np.arange(numel, dtype=np.float32).tobytes()
    yield f"{name}-zip", torch.zip_checkpoint(pickled, dict.fromkeys(keys, data))
    yield f"{name}-legacy", torch.legacy_checkpoint(pickled, dict.fromkeys(keys, (numel, data)))


def in_either_format(name: str, pickled: bytes) -> Vectors:
    """Both formats, but one alone of what takes long to read."""
    both = list(in_both_formats(name, pickled))
    yield from both if len(pickled) < _LARGE_PICKLE else [both[len(pickled) % 2]]
