"""Torch's storages and the tensors that are views of them, as NumPy arrays."""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from t2t_keras.weights.torch_reader.invalid import require

MAX_STORAGES = 20_000
MAX_TENSORS = 20_000
MAX_DIMENSIONS = 32
_MAX_EXTENT = 2**40
_EXPANSION, _EXPANSION_SLACK = 4, 1 << 20
_WIDEN_CHUNK = 1 << 18
_KEY = re.compile(r"[0-9]{1,20}")
_SAVE_AS_FLOAT = "Convert the model to float32 in PyTorch (`model.float()`) and save it again."


@dataclasses.dataclass(frozen=True, slots=True)
class StorageType:
    """A storage class of torch: its element type, and NumPy's code of it if it is read."""

    name: str
    code: str | None = None

    @property
    def stored(self) -> np.dtype:
        """The elements as they lie in the file."""
        return np.dtype(self.code)

    @property
    def dtype(self) -> np.dtype:
        """The elements of the arrays handed out; NumPy lacks bfloat16."""
        return np.dtype("<f4") if self.name == "bfloat16" else self.stored


STORAGE_TYPES = {
    "FloatStorage": StorageType("float32", "<f4"),
    "HalfStorage": StorageType("float16", "<f2"),
    "DoubleStorage": StorageType("float64", "<f8"),
    "BFloat16Storage": StorageType("bfloat16", "<u2"),
    "LongStorage": StorageType("int64", "<i8"),
    "IntStorage": StorageType("int32", "<i4"),
    "ShortStorage": StorageType("int16", "<i2"),
    "ByteStorage": StorageType("uint8", "u1"),
    "BoolStorage": StorageType("bool", "?"),
    "CharStorage": StorageType("int8"),
    "ComplexFloatStorage": StorageType("complex64"),
    "ComplexDoubleStorage": StorageType("complex128"),
    "QInt8Storage": StorageType("qint8 (quantized)"),
    "QUInt8Storage": StorageType("quint8 (quantized)"),
    "QInt32Storage": StorageType("qint32 (quantized)"),
    "QUInt4x2Storage": StorageType("quint4x2 (quantized)"),
    "QUInt2x4Storage": StorageType("quint2x4 (quantized)"),
}


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Storage:
    """A run of elements that tensors are views of; `values` is filled once all checks passed."""

    kind: StorageType
    key: str
    values: np.ndarray

    @property
    def stored_bytes(self) -> int:
        """Size of the storage in the file."""
        return self.values.size * self.kind.stored.itemsize

    def fill(self, read_into: Callable[[memoryview], None]) -> None:
        """Reads the storage's bytes with `read_into` and turns them into `values`, in place."""
        raw = self.values.view(np.uint8)[self.values.nbytes - self.stored_bytes :]
        read_into(raw.data)
        if self.kind.stored == np.dtype("?"):
            np.minimum(raw, 1, out=raw)
        elif self.kind.stored != self.kind.dtype:
            _widen_bfloat16(raw.view(self.kind.stored), self.values.view("<u4"))


def _widen_bfloat16(halves: np.ndarray, words: np.ndarray) -> None:
    """Widens into `words`, whose upper half is `halves`: what is still to read stays ahead."""
    for start in range(0, words.size, _WIDEN_CHUNK):
        chunk = halves[start : start + _WIDEN_CHUNK].astype("<u4")
        words[start : start + _WIDEN_CHUNK] = chunk << np.uint32(16)


def _are_extents(values: Any) -> bool:
    return type(values) is tuple and all(
        type(value) is int and 0 <= value < _MAX_EXTENT for value in values
    )


class Storages:
    """The storages a pickle declares, and the tensors that are views of them.

    Before anything is allocated, all must fit `file_bytes`, and each its entry of `record_bytes`.
    """

    def __init__(self, file_bytes: int, record_bytes: Mapping[str, int] | None = None):
        self._record_bytes = record_bytes
        self._storage_room = file_bytes
        self._tensor_room = file_bytes * _EXPANSION + _EXPANSION_SLACK
        self._tensors = 0
        self.by_key: dict[str, Storage] = {}

    def declare(self, kind: Any, key: Any, numel: Any) -> Storage:
        """Returns the storage `key` of `numel` elements; a second mention must say the same."""
        require(type(kind) is StorageType, "a storage is not of one of torch's storage types")
        reason = f"a tensor has the dtype {kind.name}, which is not read"
        require(kind.code is not None, reason, _SAVE_AS_FLOAT)
        numbered = type(key) is str and _KEY.fullmatch(key) is not None
        require(numbered, "a storage has a key that is not a number")
        require(_are_extents((numel,)), f"storage {key} has an impossible number of elements")
        known = self.by_key.get(key)
        if known is None:
            known = self.by_key[key] = self._allocate(kind, key, numel)
        same = known.kind == kind and known.values.size == numel
        require(same, f"storage {key} is declared twice, with different types or sizes")
        return known

    def _allocate(self, kind: StorageType, key: str, numel: int) -> Storage:
        count = numel * kind.stored.itemsize
        found = count if self._record_bytes is None else self._record_bytes.get(key, "no")
        require(found == count, f"storage {key} should have {count} bytes, the file has {found}")
        self._storage_room -= count
        fits = self._storage_room >= 0 and len(self.by_key) < MAX_STORAGES
        require(fits, f"its storages, up to {key}, do not fit into the file")
        return Storage(kind, key, np.empty(numel, kind.dtype))

    def tensor(self, storage: Any, offset: Any, shape: Any, strides: Any) -> np.ndarray:
        """Returns a read-only view of `storage`; all measures are in elements."""
        require(type(storage) is Storage, "a tensor's storage is missing")
        extents = all(map(_are_extents, ((offset,), shape, strides)))
        require(extents, "a tensor's offset, shape or strides are not small, positive integers")
        dimensions = len(shape)
        plain = dimensions == len(strides) and dimensions <= MAX_DIMENSIONS
        require(plain, f"a tensor has {dimensions} dimensions and {len(strides)} strides")
        dtype, itemsize = storage.kind.dtype, storage.kind.dtype.itemsize
        self._charge(shape, itemsize)
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        inside = (offset if 0 in shape else last + 1) <= storage.values.size
        require(inside, f"a tensor of shape {shape} reaches outside its storage {storage.key}")
        steps = tuple(step * itemsize for step in strides)
        place = (storage.values, offset * itemsize, steps)
        array = np.ndarray(shape, dtype, *(() if 0 in shape else place))
        array.flags.writeable = False
        return array

    def _charge(self, shape: tuple[int, ...], itemsize: int) -> None:
        """Counts a tensor; its empty dimensions count as 1, as they can stand beside huge ones."""
        self._tensor_room -= itemsize * math.prod(max(size, 1) for size in shape)
        require(self._tensor_room >= 0, f"a tensor of shape {shape} is far larger than the file")
        self._tensors += 1
        require(self._tensors <= MAX_TENSORS, f"it holds more than {MAX_TENSORS} tensors")
