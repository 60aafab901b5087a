"""Choosing the model's state dict in a checkpoint, and making its arrays ready to load."""

import logging
from collections.abc import Mapping

import numpy as np

from t2t_keras.errors import CheckpointError
from t2t_keras.weights.torch_reader import printable

logger = logging.getLogger(__name__)

# The averaged weights are the ones that the authors validated and released, so they come first.
STATE_DICT_KEYS = ("state_dict_ema", "state_dict", "net")
_PREFIX = "module."


def _choose(contents: object, key: str, source: str) -> tuple[str, Mapping]:
    """Returns a state dict and its name for the log."""
    if not isinstance(contents, Mapping):
        raise CheckpointError(
            f"{source}: holds a {type(contents).__name__} where a dict of weights was expected. "
            "Give a checkpoint that a training run of T2T-ViT saved."
        )
    known = [name for name in STATE_DICT_KEYS if isinstance(contents.get(name), Mapping)]
    if key == "auto":
        key = known[0] if known else ""
    if key == "":
        return "the file itself", contents
    if not isinstance(contents.get(key), Mapping):
        raise CheckpointError(
            f"{source}: has no state dict called {key!r}. It has: {', '.join(known) or 'none'}; "
            '`key="auto"` takes the averaged weights where there are any.'
        )
    return key, contents[key]


def _to_float32(value: object, place: str) -> np.ndarray:
    if not isinstance(value, np.ndarray):
        raise CheckpointError(
            f"{place} is a {type(value).__name__}, not a tensor. Give the file of a state dict, or "
            "of a checkpoint that holds one."
        )
    if value.dtype.kind != "f":
        raise CheckpointError(
            f"{place} has dtype {value.dtype}; weights are floating point numbers. Give a "
            "checkpoint that was not quantized."
        )
    with np.errstate(over="ignore"):
        array = value.astype(np.float32)
    if not np.isfinite(array).all():
        raise CheckpointError(
            f"{place} holds values that are not finite. The run that saved it had diverged, or the "
            "file is damaged: use an earlier checkpoint or download it again."
        )
    return array


def state_dict_of(
    contents: object, key: str = "auto", source: str = "checkpoint"
) -> dict[str, np.ndarray]:
    """Returns official key -> float32 array out of the value of `read_torch_checkpoint`.

    `key` "auto" takes the first of `STATE_DICT_KEYS` there is, a name that one, and "" the contents
    themselves. Keys lose the `module.` that parallel training puts before them.
    """
    chosen, entries = _choose(contents, key, source)
    if key == "auto":
        logger.info("%s: taking the weights in %s", source, chosen)
    state: dict[str, np.ndarray] = {}
    for name, value in entries.items():
        if not isinstance(name, str):
            raise CheckpointError(
                f"{source}: {name!r} is no name of a weight. Give a checkpoint of T2T-ViT."
            )
        plain = name.removeprefix(_PREFIX)
        if plain in state:
            raise CheckpointError(
                f"{source}: {printable(plain)} is there twice, with and without {_PREFIX!r}. "
                "Save the weights of one model again."
            )
        state[plain] = _to_float32(value, f"{source}: {printable(name)}")
    return state
