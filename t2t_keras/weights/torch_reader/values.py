"""The values a pickle built, checked before anyone walks them."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from t2t_keras.weights.torch_reader.invalid import InvalidCheckpoint, require

MAX_DEPTH = 64
MAX_VALUES = 1_000_000
_TOO_MANY = f"its pickle expands to more than {MAX_VALUES} values"
_TOO_DEEP = f"its pickle nests deeper than {MAX_DEPTH} levels"
_LEAVES = (type(None), bool, int, float, str, bytes, np.ndarray, np.generic)


class OpaqueObject:
    """An object of a checkpoint as inert data: the name of its class and its attributes."""

    __slots__ = ("attributes", "class_name")

    def __init__(self, class_name: str):
        self.class_name = class_name
        self.attributes: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"OpaqueObject({self.class_name!r}, {len(self.attributes)} attributes)"


def _children(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        return iter(node.values())
    if isinstance(node, list | tuple):
        return iter(node)
    if isinstance(node, OpaqueObject):
        return iter(node.attributes.values())
    raise InvalidCheckpoint(f"its pickle leaves a bare {type(node).__name__} among the values")


def _expand(node: Any, depth: int, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """Returns how many values a node expands to, itself among them, and on how many levels.

    `known` holds these by id for every container seen; None while it is being expanded.
    """
    if isinstance(node, _LEAVES) or not node:
        return 1, 0
    if id(node) not in known:
        require(depth <= MAX_DEPTH, _TOO_DEEP)
        known[id(node)] = None
        values, levels = 1, 0
        for child in _children(node):
            inner = _expand(child, depth + 1, known)
            values, levels = values + inner[0], max(levels, inner[1])
            require(values <= MAX_VALUES, _TOO_MANY)
        known[id(node)] = values, levels + 1
    extent = known[id(node)]
    if extent is None:
        raise InvalidCheckpoint("its pickle holds a value that contains itself")
    require(extent[1] <= MAX_DEPTH, _TOO_DEEP)
    return extent


def require_tree(root: Any) -> None:
    """Checks that plain recursion over `root` ends soon, though containers may be shared."""
    _expand(root, 1, {})
