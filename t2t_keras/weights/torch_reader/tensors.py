"""Torch's storages and the tensors that look into them, as NumPy arrays."""

import dataclasses
import re
from collections.abc import Callable, Mapping

import numpy as np

from t2t_keras.weights.torch_reader.file_kinds import InvalidCheckpoint

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
    """A storage class of torch, such as FloatStorage.

    Attributes:
        name: Torch's name of the element type.
        stored: The elements as they lie in the file; None if they are not read.
        dtype: The elements of the arrays handed out. Differs for bfloat16, which NumPy lacks.
    """

    name: str
    stored: np.dtype | None = None
    dtype: np.dtype | None = None


def _same(name: str, code: str) -> StorageType:
    return StorageType(name, np.dtype(code), np.dtype(code))


STORAGE_TYPES = {
    "FloatStorage": _same("float32", "<f4"),
    "HalfStorage": _same("float16", "<f2"),
    "DoubleStorage": _same("float64", "<f8"),
    "BFloat16Storage": StorageType("bfloat16", np.dtype("<u2"), np.dtype("<f4")),
    "LongStorage": _same("int64", "<i8"),
    "IntStorage": _same("int32", "<i4"),
    "ShortStorage": _same("int16", "<i2"),
    "ByteStorage": _same("uint8", "u1"),
    "BoolStorage": _same("bool", "?"),
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
    """A run of elements that tensors look into; `values` is filled once all checks passed."""

    kind: StorageType
    key: str
    values: np.ndarray

    @property
    def stored_bytes(self) -> int:
        """Bytes the storage has in the file."""
        return self.values.size * self.kind.stored.itemsize

    def fill(self, read_into: Callable[[memoryview], None]) -> None:
        """Reads the storage's bytes with `read_into` and turns them into `values`, in place."""
        raw = self.values.view(np.uint8)[self.values.nbytes - self.stored_bytes :]
        read_into(memoryview(raw))
        if self.kind.stored == np.dtype("?"):
            np.minimum(raw, 1, out=raw)
        elif self.kind.stored != self.kind.dtype:
            _widen_bfloat16(raw.view(self.kind.stored), self.values.view("<u4"))


class Storages:
    """The storages a pickle declares, and the tensors it cuts from them.

    Args:
        file_bytes: Size of the file; what is declared must fit, before anything is allocated.
        record_bytes: Bytes of each storage by key, where the format knows them beforehand.
    """

    def __init__(self, file_bytes: int, record_bytes: Mapping[str, int] | None = None):
        self._record_bytes = record_bytes
        self._storage_room = file_bytes
        self._tensor_room = file_bytes * _EXPANSION + _EXPANSION_SLACK
        self._tensors = 0
        self.by_key: dict[str, Storage] = {}

    def declare(self, kind: object, key: object, numel: object) -> Storage:
        """The storage `key` of `numel` elements; a second mention must say the same."""
        if not isinstance(kind, StorageType):
            raise InvalidCheckpoint("a storage is not of one of torch's storage types")
        if kind.stored is None:
            raise InvalidCheckpoint(
                f"a tensor has the dtype {kind.name}, which is not read", _SAVE_AS_FLOAT
            )
        if type(key) is not str or not _KEY.fullmatch(key):
            raise InvalidCheckpoint("a storage has a key that is not a number")
        if type(numel) is not int or not 0 <= numel < _MAX_EXTENT:
            raise InvalidCheckpoint(f"storage {key} has an impossible number of elements")
        known = self.by_key.get(key)
        if known is None:
            known = self.by_key[key] = self._allocate(kind, key, numel)
        if known.kind != kind or known.values.size != numel:
            raise InvalidCheckpoint(
                f"storage {key} is declared twice, with different types or sizes"
            )
        return known

    def _allocate(self, kind: StorageType, key: str, numel: int) -> Storage:
        count = numel * kind.stored.itemsize
        if self._record_bytes is not None and self._record_bytes.get(key) != count:
            found = self._record_bytes.get(key, "no")
            raise InvalidCheckpoint(
                f"storage {key} should have {count} bytes, the file has {found}"
            )
        self._storage_room -= count
        if self._storage_room < 0 or len(self.by_key) >= MAX_STORAGES:
            raise InvalidCheckpoint(f"its storages, up to {key}, do not fit into the file")
        return Storage(kind, key, np.empty(numel, kind.dtype))

    def tensor(self, storage: object, offset: object, shape: object, strides: object) -> np.ndarray:
        """A read-only array that looks into `storage`; all measures in elements.

        Raises:
            InvalidCheckpoint: An argument has the wrong kind, the tensor exceeds its storage, or
                all tensors together would be several times as large as the file.
        """
        if type(storage) is not Storage:
            raise InvalidCheckpoint("a tensor's storage is missing")
        if not (_are_extents((offset,)) and _are_extents(shape) and _are_extents(strides)):
            raise InvalidCheckpoint(
                "a tensor's offset, shape or strides are not small, positive integers"
            )
        if len(shape) != len(strides) or len(shape) > MAX_DIMENSIONS:
            raise InvalidCheckpoint(
                f"a tensor has {len(shape)} dimensions and {len(strides)} strides"
            )
        itemsize = storage.values.itemsize
        self._charge(shape, itemsize)
        empty = 0 in shape
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if (offset if empty else last + 1) > storage.values.size:
            raise InvalidCheckpoint(
                f"a tensor of shape {shape} reaches outside its storage {storage.key}"
            )
        if empty:
            return np.empty(shape, storage.kind.dtype)
        array = np.ndarray(
            shape,
            storage.kind.dtype,
            buffer=storage.values,
            offset=offset * itemsize,
            strides=tuple(step * itemsize for step in strides),
        )
        array.flags.writeable = False
        return array

    def _charge(self, shape: tuple[int, ...], itemsize: int) -> None:
        """Counts a tensor; its empty dimensions count as 1, so no product of sizes overflows."""
        count = itemsize
        for size in shape:
            count *= max(size, 1)
            if count > self._tensor_room:
                raise InvalidCheckpoint(f"a tensor of shape {shape} is far larger than the file")
        self._tensor_room -= count
        self._tensors += 1
        if self._tensors > MAX_TENSORS:
            raise InvalidCheckpoint(f"it holds more than {MAX_TENSORS} tensors")


def _are_extents(values: object) -> bool:
    return type(values) is tuple and all(
        type(value) is int and 0 <= value < _MAX_EXTENT for value in values
    )


def _widen_bfloat16(halves: np.ndarray, words: np.ndarray) -> None:
    """Widens into `words`, whose upper half `halves` is: what is still to read stays ahead."""
    for start in range(0, words.size, _WIDEN_CHUNK):
        chunk = halves[start : start + _WIDEN_CHUNK].astype("<u4")
        words[start : start + _WIDEN_CHUNK] = chunk << np.uint32(16)
