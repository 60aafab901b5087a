"""The allow-list: the few globals a checkpoint's pickle may name, and their stand-ins.

Nothing is imported or called by name: a global off the list ends the reading.
"""

from collections import OrderedDict
from types import FunctionType
from typing import Any

import numpy as np

from t2t_keras.weights.torch_reader.invalid import (
    InvalidCheckpoint,
    UnsafePickle,
    printable,
    require,
)
from t2t_keras.weights.torch_reader.tensors import MAX_DIMENSIONS, STORAGE_TYPES, Storage, Storages
from t2t_keras.weights.torch_reader.values import OpaqueObject

MAX_WORK = 1_000_000
_SIZED = (str, bytes, tuple, list, dict, OrderedDict)
_SCALAR_CODES = frozenset(("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"))
_UNREAD_TENSORS = {
    "_rebuild_sparse_tensor": "a sparse tensor",
    "_rebuild_sparse_csr_tensor": "a sparse tensor",
    "_rebuild_nested_tensor": "a nested tensor",
    "_rebuild_qtensor": "a quantized tensor",
    "_rebuild_tensor_v3": "a tensor of a dtype without a storage class",
    "_rebuild_meta_tensor_no_storage": "a tensor without data",
    "_rebuild_wrapper_subclass": "a tensor subclass",
}


class TorchGlobals:
    """Answers the opcode loop when a pickle names, calls or fills something."""

    def __init__(self, storages: Storages):
        self._storages = storages
        self._work_left = MAX_WORK

    def find(self, module: Any, name: Any) -> Any:
        """Returns the stand-in for the global `module.name`."""
        if type(module) is not str or type(name) is not str:
            raise UnsafePickle("a global's name is not text")
        if (module, name) in _STAND_INS:
            return _STAND_INS[module, name]
        if module == "torch._utils" and name in _UNREAD_TENSORS:
            raise InvalidCheckpoint(
                f"{_UNREAD_TENSORS[name]} ({name}) is not read",
                "Save plain float32 tensors (`model.float().state_dict()`) from PyTorch instead.",
            )
        dotted = printable(f"{module}.{name}")
        raise UnsafePickle(f"it asks for {dotted}, which weights never need")

    def reduce(self, function: Any, arguments: Any) -> Any:
        """Returns the result of calling `function`, for the calls that are known here."""
        if type(function) is not FunctionType or type(arguments) is not tuple:
            raise UnsafePickle("it calls something that is not a function")
        self._charge(arguments, *arguments)
        return function(self._storages, arguments)

    def new(self, cls: Any, arguments: Any) -> OpaqueObject:
        """Returns a stand-in for an instance of `cls`."""
        if cls is not OpaqueObject or not _is_empty(arguments):
            raise UnsafePickle("it makes an object other than an empty Namespace")
        return OpaqueObject("argparse.Namespace")

    def build(self, target: Any, state: Any) -> None:
        """Takes in the attributes of an object, as far as they matter."""
        self._charge(state)
        if type(target) is OpaqueObject and type(state) is dict and not target.attributes:
            named = all(type(key) is str for key in state)
            require(named, "a Namespace has an attribute whose name is not text")
            target.attributes.update(state)
        elif isinstance(target, np.dtype) and type(state) is tuple:
            little = len(state) > 1 and (_is_text(state[1], "<") or _is_text(state[1], "|"))
            require(little, "a NumPy scalar is not little-endian")
        elif type(target) is not OrderedDict or type(state) is not dict:  # its `_metadata`
            raise UnsafePickle(f"it sets the state of an object ({type(target).__name__})")

    def persistent(self, key: Any) -> Storage:
        """Returns the storage of a persistent id: five fields in zip files, six in old streams."""
        if type(key) is not tuple or len(key) not in (5, 6) or not _is_text(key[0], "storage"):
            raise UnsafePickle("a persistent id does not name a storage")
        _, kind, name, device, numel, *view = key
        plain = type(device) is str and all(field is None for field in view)
        require(plain, "a storage has no device, or is a view of another storage")
        return self._storages.declare(kind, name, numel)

    def _charge(self, *values: Any) -> None:
        """Counts what a call reads or copies, as a few bytes can repeat it on noted values."""
        self._work_left -= sum(len(value) for value in values if type(value) in _SIZED)
        if self._work_left < 0:
            raise UnsafePickle(f"its calls take in more than {MAX_WORK} values")


def _ordered_dict(_: Storages, arguments: tuple) -> OrderedDict:
    if arguments:
        raise UnsafePickle("it calls collections.OrderedDict with arguments")
    return OrderedDict()


def _tensor(storages: Storages, arguments: tuple) -> np.ndarray:
    require(len(arguments) in (6, 7), f"it rebuilds a tensor from {len(arguments)} arguments")
    _require_plain(arguments[4], arguments[5])
    plain = all(_is_empty(metadata) for metadata in arguments[6:])
    require(plain, "a tensor is a conjugate or negative view, which is not read")
    return storages.tensor(*arguments[:4])


def _parameter(_: Storages, arguments: tuple) -> np.ndarray:
    of_tensor = len(arguments) == 3 and type(arguments[0]) is np.ndarray
    require(of_tensor, "a parameter is not made from a tensor")
    _require_plain(arguments[1], arguments[2])
    return arguments[0]


def _require_plain(requires_grad: Any, hooks: Any) -> None:
    if type(requires_grad) is not bool or not _is_empty(hooks):
        raise UnsafePickle("a tensor carries hooks")


def _size(_: Storages, arguments: tuple) -> tuple[int, ...]:
    sizes: Any = arguments[0] if len(arguments) == 1 else None
    plain = type(sizes) is tuple and all(type(size) is int for size in sizes)
    require(plain and len(sizes) <= MAX_DIMENSIONS, "a torch.Size is not a few integers")
    return sizes


def _scalar_type(_: Storages, arguments: tuple) -> np.dtype:
    code: Any = arguments[0] if len(arguments) == 3 else None
    require(type(code) is str and code in _SCALAR_CODES, "a NumPy dtype is not a plain number's")
    return np.dtype(f"<{code}")


def _scalar(_: Storages, arguments: tuple) -> np.generic:
    kind: Any
    raw: Any
    kind, raw = arguments if len(arguments) == 2 else (None, None)
    plain = isinstance(kind, np.dtype) and type(raw) is bytes
    require(plain, "a NumPy scalar is not made from a number's bytes")
    require(len(raw) == kind.itemsize, f"a NumPy scalar of {kind.itemsize} bytes has {len(raw)}")
    return np.frombuffer(raw, kind)[0]


def _encode(_: Storages, arguments: tuple) -> bytes:
    text, codec = arguments if len(arguments) == 2 else (None, None)
    if type(text) is not str or not _is_text(codec, "latin1"):
        raise UnsafePickle("it calls _codecs.encode for something other than bytes")
    try:
        return text.encode("latin1")
    except UnicodeEncodeError:
        raise InvalidCheckpoint("it calls _codecs.encode for something other than bytes") from None


def _is_text(value: Any, text: str) -> bool:
    return type(value) is str and value == text  # an array would compare element by element


def _is_empty(value: Any) -> bool:
    return value is None or (type(value) in (dict, tuple, OrderedDict) and not value)


_STAND_INS = {
    **{("torch", name): kind for name, kind in STORAGE_TYPES.items()},
    ("argparse", "Namespace"): OpaqueObject,
    ("collections", "OrderedDict"): _ordered_dict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch", "Size"): _size,
    ("numpy", "dtype"): _scalar_type,
    ("numpy.core.multiarray", "scalar"): _scalar,  # NumPy 1
    ("numpy._core.multiarray", "scalar"): _scalar,  # NumPy 2
    ("_codecs", "encode"): _encode,
}
