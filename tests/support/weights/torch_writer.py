"""Writes both of torch's file formats byte by byte, so that tests can also write them wrongly."""

import dataclasses
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C
STORAGE_NAMES = {
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "float64": "DoubleStorage",
    "int64": "LongStorage",
    "bool": "BoolStorage",
    "uint8": "ByteStorage",
}


# --- pickles: each function gives the opcodes that push one value ---


def text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value: int) -> bytes:
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def group(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def numbers(values: Sequence[int]) -> bytes:
    return group(*map(number, values))


def mapping(items: Mapping[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def named(module: str, name: str, protocol: int = 2) -> bytes:
    if protocol >= 4:
        return text(module) + text(name) + b"\x93"
    return b"c" + f"{module}\n{name}\n".encode()


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + group(*arguments) + b"R"


def storage(key: str, numel: int, kind: str = "FloatStorage", legacy: bool = False) -> bytes:
    fields = [text("storage"), named("torch", kind), text(key), text("cpu"), number(numel)]
    return group(*fields, *([b"N"] if legacy else [])) + b"Q"


def tensor(source: bytes, shape: Sequence[int], strides: Sequence[int], offset: int = 0) -> bytes:
    rebuild = named("torch._utils", "_rebuild_tensor_v2")
    hooks = call(named("collections", "OrderedDict"))
    return call(rebuild, source, number(offset), numbers(shape), numbers(strides), b"\x89", hooks)


def whole(body: bytes, protocol: int = 2) -> bytes:
    """A pickle around opcodes that push one value."""
    start = bytes([0x80, protocol]) if protocol >= 2 else b""
    if protocol >= 4:
        start += b"\x95" + struct.pack("<Q", len(body) + 1)
    return start + body + b"."


# --- zip archives ---


@dataclasses.dataclass
class Entry:
    """A record; a field that is not None replaces the true value in the directory."""

    name: str
    data: bytes
    crc: int | None = None
    size: int | None = None
    packed: int | None = None
    method: int = 0
    flags: int = 0x800
    local_name: str | None = None
    header_at: int | None = None


def zip_archive(entries: Sequence[Entry], comment: bytes = b"", count: int | None = None) -> bytes:
    """A zip archive of the entries, with an end record but no zip64 one."""
    out, directory = bytearray(), bytearray()
    for entry in entries:
        crc = zlib.crc32(entry.data) if entry.crc is None else entry.crc
        size = len(entry.data) if entry.size is None else entry.size
        packed = size if entry.packed is None else entry.packed
        local = (entry.name if entry.local_name is None else entry.local_name).encode()
        at = len(out) if entry.header_at is None else entry.header_at
        common = (entry.flags, entry.method, 0, 0, crc, packed, size)
        out += struct.pack("<4s5H3I2H", b"PK\x03\x04", 0, *common, len(local), 0)
        out += local + entry.data
        name = entry.name.encode()
        fields = (b"PK\x01\x02", 0, 0, *common, len(name), 0, 0, 0, 0, 0, at)
        directory += struct.pack("<4s6H3I5H2I", *fields) + name
    total = len(entries) if count is None else count
    end = (0, 0, total, total, len(directory), len(out), len(comment))
    return bytes(out + directory + struct.pack("<4s4H2IH", b"PK\x05\x06", *end) + comment)


def zip_entries(pickled: bytes, storages: Mapping[str, bytes]) -> list[Entry]:
    """The records of a checkpoint, in torch's order."""
    return [
        Entry("archive/data.pkl", pickled),
        Entry("archive/byteorder", b"little"),
        *(Entry(f"archive/data/{key}", data) for key, data in storages.items()),
        Entry("archive/version", b"3\n"),
    ]


# --- the two formats ---


def legacy_checkpoint(
    pickled: bytes, storages: Mapping[str, tuple[int, bytes]], little_endian: bool = True
) -> bytes:
    """The old stream; `storages` gives each key's number of elements and bytes."""
    system = b"}(" + text("little_endian") + (b"\x88" if little_endian else b"\x89") + b"u"
    keys = b"](" + b"".join(map(text, storages)) + b"e"
    head = [number(MAGIC), number(1001), system]
    data = b"".join(struct.pack("<q", numel) + raw for numel, raw in storages.values())
    return b"".join(map(whole, head)) + pickled + whole(keys) + data


def container(pickled: bytes, storages: Mapping[str, np.ndarray], legacy: bool = False) -> bytes:
    """A file of either format around a pickle and its storages."""
    if legacy:
        sized = {key: (data.size, data.tobytes()) for key, data in storages.items()}
        return legacy_checkpoint(pickled, sized)
    raw = {key: data.tobytes() for key, data in storages.items()}
    return zip_archive(zip_entries(pickled, raw))


def checkpoint(arrays: Mapping[str, np.ndarray], legacy: bool = False) -> bytes:
    """A file whose pickle is a dict of contiguous tensors, each with a storage of its own."""
    items, storages = {}, {}
    for index, (name, array) in enumerate(arrays.items()):
        key, kind = str(index), STORAGE_NAMES[array.dtype.name]
        strides = [step // array.itemsize for step in np.empty_like(array, order="C").strides]
        items[name] = tensor(storage(key, array.size, kind, legacy), array.shape, strides)
        storages[key] = array
    return container(whole(mapping(items)), storages, legacy)


Vectors = Iterator[tuple[str, bytes]]


def in_both_formats(pickled: bytes) -> dict[str, bytes]:
    """The pickle as "zip" and as "legacy" file, but one alone of what takes long to read.

    There is the storage "0" if the pickle asks for it.
    """
    storages = {"0": np.arange(4, dtype=np.float32)} if text("storage") in pickled else {}
    kinds = ["zip", "legacy"] if len(pickled) < 100_000 else [("zip", "legacy")[len(pickled) % 2]]
    return {kind: container(pickled, storages, kind == "legacy") for kind in kinds}
