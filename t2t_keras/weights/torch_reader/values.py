"""The values a pickle built, checked before anyone walks them."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from t2t_keras.weights.torch_reader.invalid import InvalidCheckpoint, require

MAX_DEPTH = 64
MAX_NODES = 1_000_000
_TOO_MANY = f"its pickle expands to more than {MAX_NODES} values"
_TOO_DEEP = f"its pickle nests deeper than {MAX_DEPTH} levels"
_LEAVES = (type(None), bool, int, float, str, bytes, np.ndarray, np.generic)


class OpaqueObject:
    """An object of a checkpoint as inert data, without the object's class.

    Attributes:
        class_name: The class the file named, such as "argparse.Namespace".
        attributes: The attributes the file gave it, by name.
    """

    __slots__ = ("attributes", "class_name")

    def __init__(self, class_name: str):
        self.class_name = class_name
        self.attributes: dict[str, object] = {}

    def __repr__(self) -> str:
        return f"OpaqueObject({self.class_name!r}, {len(self.attributes)} attributes)"


@dataclasses.dataclass(slots=True)
class _Extent:
    """The size of an expanded container: the values in it, itself among them, and the levels."""

    nodes: int = 1
    height: int = 1

    def add(self, nodes: int, height: int) -> None:
        self.nodes += nodes
        self.height = max(self.height, height + 1)
        require(self.nodes <= MAX_NODES, _TOO_MANY)
        require(self.height <= MAX_DEPTH, _TOO_DEEP)


def _children(node: object) -> Iterator[object]:
    if isinstance(node, dict):
        return iter(node.values())
    if isinstance(node, list | tuple):
        return iter(node)
    if isinstance(node, OpaqueObject):
        return iter(node.attributes.values())
    raise InvalidCheckpoint(f"its pickle leaves a bare {type(node).__name__} among the values")


def require_tree(root: object) -> None:
    """Checks that `root` can be walked by plain recursion in little time.

    Containers may be shared (optimizer states share tuples), but their expanded size is bounded.
    Refused are values that contain themselves and anything that is neither container nor value.
    """
    extents: dict[int, _Extent | None] = {}  # by id; None while the container is being walked
    path: list[tuple[int, Iterator[object], _Extent]] = []
    extent = _Extent(nodes=0, height=0)
    path.append((id(extent), iter((root,)), extent))
    while path:
        key, children, extent = path[-1]
        for child in children:
            if isinstance(child, _LEAVES) or not child:
                extent.add(1, 0)
            elif known := extents.get(id(child)):
                extent.add(known.nodes, known.height)
            elif id(child) in extents:
                raise InvalidCheckpoint("its pickle holds a value that contains itself")
            else:
                require(len(path) <= MAX_DEPTH, _TOO_DEEP)
                extents[id(child)] = None
                path.append((id(child), _children(child), _Extent()))
                break
        else:
            path.pop()
            extents[key] = extent
            if path:
                path[-1][2].add(extent.nodes, extent.height)
