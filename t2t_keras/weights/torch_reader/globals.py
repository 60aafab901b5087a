"""The few names a checkpoint's pickle may mention, and what each is taken to mean.

Nothing is imported or called by name: a name off the list ends the reading.
"""

import dataclasses
from collections import OrderedDict

import numpy as np

from t2t_keras.weights.torch_reader.file_kinds import (
    SAVE_WEIGHTS_ONLY,
    InvalidCheckpoint,
    printable,
)
from t2t_keras.weights.torch_reader.tensors import MAX_DIMENSIONS, STORAGE_TYPES, Storage, Storages
from t2t_keras.weights.torch_reader.values import OpaqueObject

MAX_WORK = 1_000_000
_NAMESPACE = "argparse.Namespace"
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


@dataclasses.dataclass(frozen=True, slots=True)
class Name:
    """An allowed global, standing on the pickle's stack in place of the object."""

    dotted: str


@dataclasses.dataclass(slots=True)
class ScalarType:
    """What `numpy.dtype(...)` of a pickle becomes: the code of a plain number."""

    code: str


class TorchGlobals:
    """What the opcode loop asks when a pickle names, calls or fills something.

    Args:
        storages: Where the tensors' storages are declared.
    """

    def __init__(self, storages: Storages):
        self._storages = storages
        self._work_left = MAX_WORK

    def find(self, module: object, name: object) -> object:
        """What stands on the stack for the global `module.name`."""
        if type(module) is not str or type(name) is not str:
            raise InvalidCheckpoint("a global's name is not text", SAVE_WEIGHTS_ONLY)
        if module == "torch" and name in STORAGE_TYPES:
            return STORAGE_TYPES[name]
        dotted = f"{module}.{name}"
        if (module, name) in _CALLS or dotted == _NAMESPACE:
            return Name(dotted)
        if module == "torch._utils" and name in _UNREAD_TENSORS:
            raise InvalidCheckpoint(
                f"{_UNREAD_TENSORS[name]} ({name}) is not read",
                "Save plain float32 tensors (`model.float().state_dict()`) from PyTorch instead.",
            )
        raise InvalidCheckpoint(
            f"it asks for {printable(dotted)}, which weights never need", SAVE_WEIGHTS_ONLY
        )

    def reduce(self, function: object, arguments: object) -> object:
        """What calling `function` would give, for the calls that are known here."""
        if type(function) is not Name or type(arguments) is not tuple:
            raise InvalidCheckpoint("it calls something that is not a function", SAVE_WEIGHTS_ONLY)
        call = _BY_DOTTED_NAME.get(function.dotted)
        if call is None:
            raise InvalidCheckpoint(f"it calls {function.dotted}", SAVE_WEIGHTS_ONLY)
        self._charge(arguments, *arguments)
        return call(self._storages, arguments)

    def new(self, cls: object, arguments: object) -> OpaqueObject:
        """A stub in place of an instance of `cls`."""
        if type(cls) is not Name or cls.dotted != _NAMESPACE or not _is_empty(arguments):
            raise InvalidCheckpoint(
                "it makes an object other than an empty Namespace", SAVE_WEIGHTS_ONLY
            )
        return OpaqueObject(cls.dotted)

    def build(self, target: object, state: object) -> None:
        """Takes in the attributes of an object, as far as they matter."""
        self._charge(state)
        if type(target) is OpaqueObject and type(state) is dict and not target.attributes:
            if not all(type(key) is str for key in state):
                raise InvalidCheckpoint("a Namespace has an attribute whose name is not text")
            target.attributes.update(state)
        elif type(target) is ScalarType and type(state) is tuple:
            if len(state) < 2 or not (_is_text(state[1], "<") or _is_text(state[1], "|")):
                raise InvalidCheckpoint("a NumPy scalar is not little-endian")
        elif type(target) is not OrderedDict or type(state) is not dict:  # its `_metadata`
            what = type(target).__name__
            raise InvalidCheckpoint(f"it sets the state of an object ({what})", SAVE_WEIGHTS_ONLY)

    def persistent(self, key: object) -> Storage:
        """The storage that a persistent id names: five fields in zip files, six in old streams."""
        if type(key) is not tuple or len(key) not in (5, 6) or not _is_text(key[0], "storage"):
            raise InvalidCheckpoint("a persistent id does not name a storage", SAVE_WEIGHTS_ONLY)
        if type(key[3]) is not str or key[-1] is not None and len(key) == 6:
            raise InvalidCheckpoint("a storage has no device, or looks into another storage")
        return self._storages.declare(key[1], key[2], key[4])

    def _charge(self, *values: object) -> None:
        """Counts what a call reads or copies, as a few bytes can repeat it on noted values."""
        self._work_left -= sum(len(value) for value in values if type(value) in _SIZED)
        if self._work_left < 0:
            raise InvalidCheckpoint(
                f"its calls take in more than {MAX_WORK} values", SAVE_WEIGHTS_ONLY
            )


def _ordered_dict(_: Storages, arguments: tuple) -> OrderedDict:
    if arguments:
        raise InvalidCheckpoint(
            "it calls collections.OrderedDict with arguments", SAVE_WEIGHTS_ONLY
        )
    return OrderedDict()


def _tensor(storages: Storages, arguments: tuple) -> np.ndarray:
    if len(arguments) not in (6, 7):
        raise InvalidCheckpoint(f"it rebuilds a tensor from {len(arguments)} arguments")
    _require_plain(arguments[4], arguments[5])
    if not all(_is_empty(metadata) for metadata in arguments[6:]):
        raise InvalidCheckpoint("a tensor is a conjugate or negative view, which is not read")
    return storages.tensor(*arguments[:4])


def _parameter(_: Storages, arguments: tuple) -> np.ndarray:
    if len(arguments) != 3 or type(arguments[0]) is not np.ndarray:
        raise InvalidCheckpoint("it makes a parameter from something other than a tensor")
    _require_plain(arguments[1], arguments[2])
    return arguments[0]


def _require_plain(requires_grad: object, hooks: object) -> None:
    if type(requires_grad) is not bool or not _is_empty(hooks):
        raise InvalidCheckpoint("a tensor carries hooks", SAVE_WEIGHTS_ONLY)


def _size(_: Storages, arguments: tuple) -> tuple[int, ...]:
    sizes = arguments[0] if len(arguments) == 1 else None
    if type(sizes) is not tuple or len(sizes) > MAX_DIMENSIONS:
        raise InvalidCheckpoint("it makes a torch.Size from something other than a few integers")
    if not all(type(size) is int for size in sizes):
        raise InvalidCheckpoint("it makes a torch.Size from something other than integers")
    return sizes


def _scalar_type(_: Storages, arguments: tuple) -> ScalarType:
    code = arguments[0] if len(arguments) == 3 else None
    if type(code) is not str or code not in _SCALAR_CODES:
        raise InvalidCheckpoint("it makes a NumPy dtype other than a plain number's")
    return ScalarType(code)


def _scalar(_: Storages, arguments: tuple) -> np.generic:
    kind, raw = arguments if len(arguments) == 2 else (None, None)
    if type(kind) is not ScalarType or type(raw) is not bytes:
        raise InvalidCheckpoint(
            "it makes a NumPy scalar from something other than a number's bytes"
        )
    dtype = np.dtype("<" + kind.code)
    if len(raw) != dtype.itemsize:
        raise InvalidCheckpoint(f"a NumPy scalar of {dtype.itemsize} bytes has {len(raw)}")
    return np.frombuffer(raw, dtype)[0]


def _encode(_: Storages, arguments: tuple) -> bytes:
    if len(arguments) != 2 or not _is_text(arguments[1], "latin1"):
        raise InvalidCheckpoint(
            "it calls _codecs.encode for something other than bytes", SAVE_WEIGHTS_ONLY
        )
    try:
        return str.encode(arguments[0], "latin1")
    except (TypeError, UnicodeEncodeError):
        raise InvalidCheckpoint("it calls _codecs.encode for something other than bytes") from None


def _is_text(value: object, text: str) -> bool:
    return type(value) is str and value == text  # an array would compare element by element


def _is_empty(value: object) -> bool:
    return value is None or (type(value) in (dict, tuple, OrderedDict) and not value)


_CALLS = {
    ("collections", "OrderedDict"): _ordered_dict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch", "Size"): _size,
    ("numpy", "dtype"): _scalar_type,
    ("numpy.core.multiarray", "scalar"): _scalar,  # NumPy 1
    ("numpy._core.multiarray", "scalar"): _scalar,  # NumPy 2
    ("_codecs", "encode"): _encode,
}
_BY_DOTTED_NAME = {f"{module}.{name}": call for (module, name), call in _CALLS.items()}
