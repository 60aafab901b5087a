"""Finding the model's state dict in a checkpoint, and making its arrays ready to load.

Training code wraps a state dict in other dicts and puts prefixes before its keys. Whatever precedes
a known key such as `cls_token` is such a prefix, and every dict with a known key is a candidate.
"""

import dataclasses
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from t2t_keras.errors import CheckpointError
from t2t_keras.weights.torch_reader import printable

logger = logging.getLogger(__name__)

# The averaged weights are the ones that the authors validated and released, so they come first.
STATE_DICT_KEYS = ("state_dict_ema", "state_dict", "net", "")
_ANCHORS = (
    *("cls_token", "pos_embed", "tokens_to_token.project.weight", "norm.weight"),
    *("head.weight", "head.bias"),
)
# The modules by which PyTorch wraps a model or a part of it: DDP, torch.compile, FSDP.
_WRAPPERS = re.compile(
    r"(?:(?<=\.)|^)(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
)
_PARTS = ("cls_token", "pos_embed", "tokens_to_token.", "blocks.", "norm.", "head.")
_SHOWN = 5
_MAX_CANDIDATES = 100  # of a file that is not trusted
_MAX_NAME = 100


@dataclasses.dataclass(frozen=True, eq=False)
class _Candidate:
    """The keys with one prefix in one of a checkpoint's dicts."""

    path: str  # to the dict, through those around it
    entries: Mapping[str, Any]  # without wrappers in their keys
    prefix: str

    @property
    def name(self) -> str:
        return _WRAPPERS.sub("", f"{self.path}.{self.prefix}" if self.path else self.prefix)[:-1]

    @property
    def model(self) -> str:
        """The name without "ema", which the averages of one model do not share with it."""
        words = self.name.replace(".", "_").split("_")
        return "_".join(word for word in words if word != "ema")


def _dicts(value: Any, path: str = "") -> Iterator[tuple[str, Mapping]]:
    if isinstance(value, Mapping):
        yield path, value
        for name, inner in value.items():
            if isinstance(inner, Mapping):
                shown = _label(name)[:_MAX_NAME]
                yield from _dicts(inner, f"{path}.{shown}" if path else shown)


def _label(name: object) -> str:
    """Returns a key of a dict as text; one that is not text has no use but in a message."""
    return name if isinstance(name, str) else f"<{type(name).__name__}>"


def _listed(names: list[str]) -> str:
    more = [f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return ", ".join(names[:_SHOWN] + more) or "nothing"


def _unwrapped(entries: Mapping, source: str) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for name, value in entries.items():
        key = _WRAPPERS.sub("", _label(name))
        if key in plain and isinstance(name, str):
            raise CheckpointError(
                f"{source}: {printable(key)} is there twice, with and without what PyTorch puts "
                "before it. Save the weights of one model again."
            )
        plain[key] = value
    return plain


def _candidates(contents: Mapping, source: str) -> list[_Candidate]:
    for anchor in _ANCHORS:
        found = []
        for path, entries in _dicts(contents):
            if not any(isinstance(name, str) and name.endswith(anchor) for name in entries):
                continue
            plain = _unwrapped(entries, source)
            prefixes = (key.removesuffix(anchor) for key in plain if key.endswith(anchor))
            found += [
                _Candidate(path, plain, prefix)
                for prefix in prefixes
                if prefix[-1:] in ("", ".") and isinstance(plain[prefix + anchor], np.ndarray)
            ]
        if found:
            return found[:_MAX_CANDIDATES]
    shown = _listed([printable(_label(name)) for name in contents])
    raise CheckpointError(
        f"{source}: holds no weights of a T2T-ViT, which have a tensor {_ANCHORS[0]!r}, alone or "
        f"after a prefix. It has: {shown}. Give a checkpoint of a T2T-ViT."
    )


def _preferred(candidates: list[_Candidate]) -> list[_Candidate]:
    """Returns the averaged weights of a model rather than the raw ones; else all candidates."""
    averaged = [each for each in candidates if "ema" in re.split(r"[._]", each.name)]
    raw = {each.model for each in candidates if each not in averaged}
    if len(averaged) == len(raw) == 1 and averaged[0].model in ("", *raw):
        return averaged
    if all(each.path in STATE_DICT_KEYS for each in candidates):
        first = min((each.path for each in candidates), key=STATE_DICT_KEYS.index)
        return [each for each in candidates if each.path == first]
    return candidates


def _choose(candidates: list[_Candidate], key: str, source: str) -> _Candidate:
    if key == "auto":
        chosen = _preferred(candidates)
    else:
        chosen = [each for each in candidates if each.name == key]
        chosen = chosen or [
            each for each in candidates if each.path == key or each.name.startswith(f"{key}.")
        ]
    if len(chosen) == 1:
        return chosen[0]
    shown = _listed([printable(each.name) for each in chosen or candidates])
    if chosen:
        raise CheckpointError(
            f"{source}: holds several state dicts of a T2T-ViT: {shown}. Choose one by its name as "
            "`weights_key` (`key` in `convert` and `load_official_checkpoint`)."
        )
    raise CheckpointError(
        f"{source}: has no state dict called {key!r}. It has {shown}, where '' is the file itself; "
        "'auto' takes the averaged weights where there are any."
    )


def _is_weight(key: str, value: Any, place: str) -> bool:
    """Tells weights from counters and the like; raises where one of the model's is neither."""
    is_array = isinstance(value, np.ndarray)
    is_float = is_array and value.dtype.kind == "f"
    if not key.startswith(_PARTS) or is_array and not is_float and value.ndim == 0:
        return is_float and value.ndim > 0
    if not is_array:
        raise CheckpointError(
            f"{place} is a {type(value).__name__}, not a tensor. Give a checkpoint with all "
            "weights of the model."
        )
    if not is_float:
        raise CheckpointError(
            f"{place} has dtype {value.dtype}; weights are floating point numbers. Save "
            "`model.float().state_dict()` of a model that is not quantized."
        )
    return True


def _to_float32(array: np.ndarray, place: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
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

    `key` names a dict in it, or a prefix of keys, by the way there, as "model.student"; "" is the
    outermost dict. "auto" takes the only weights there are, averages rather than the raw ones
    beside them. Keys that are no weights of that model are left out and logged.
    """
    if not isinstance(contents, Mapping):
        raise CheckpointError(
            f"{source}: holds a {type(contents).__name__} where a dict of weights was expected. "
            "Give a checkpoint that a training run of T2T-ViT saved."
        )
    candidates = _candidates(contents, source)
    chosen = _choose(candidates, key, source)
    if key == "auto":
        logger.info(
            "%s: taking the weights in %s",
            source,
            printable(chosen.name) if chosen.name else "the file itself",
        )
    others = [
        each.prefix
        for each in candidates
        if each.entries is chosen.entries and len(each.prefix) > len(chosen.prefix)
    ]
    state, left_out = {}, []
    for name, value in chosen.entries.items():
        plain, place = name.removeprefix(chosen.prefix), f"{source}: {printable(name)}"
        inside = name.startswith(chosen.prefix) and not name.startswith(tuple(others))
        if inside and _is_weight(plain, value, place):
            state[plain] = _to_float32(value, place)
        else:
            left_out.append(printable(name))
    if left_out:
        logger.warning("%s: left out, as no weights of the model: %s", source, _listed(left_out))
    return state
