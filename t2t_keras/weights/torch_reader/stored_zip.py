"""A strict reader of zip archives whose records are stored as they are, not compressed.

Python's `zipfile` accepts what two readers can understand differently (bytes before the archive,
overlapping records, headers that disagree) and changes in this from version to version.
"""

import dataclasses
import struct
import zlib
from collections.abc import Iterator

from t2t_keras.weights.torch_reader.invalid import printable, require
from t2t_keras.weights.torch_reader.regular_file import RegularFile

MAX_RECORDS = 20_000
_MAX_DIRECTORY_BYTES = 8 << 20
_MAX_NAME_BYTES = 512
# The fields that are looked at; "x" skips versions, times and attributes.
_END = struct.Struct("<4s4H2IH")
_ZIP64_END = struct.Struct("<4s12x2I4Q")
_ZIP64_LOCATOR = struct.Struct("<4sIQI")
_ENTRY = struct.Struct("<4s4x2H4x3I4H6xI")
_HEADER = struct.Struct("<4s2x2H4x3I2H")
_ENCRYPTED, _SIZES_FOLLOW, _UTF8_NAME = 0x1, 0x8, 0x800
_STORED = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One stored record: `size` bytes that must have the checksum `crc`."""

    name: str
    size: int
    crc: int
    flags: int
    header_at: int
    data_at: int = 0


def _require_intact(holds: bool, damage: str) -> None:
    require(holds, f"it is damaged: the zip archive {damage}")


def _read_directory(file: RegularFile) -> tuple[bytes, int, int]:
    """Returns the central directory, its number of entries and its offset."""
    _require_intact(file.size >= _END.size, "is cut off")
    end = _END.unpack(file.read(file.size - _END.size, _END.size))
    signature, disk, first_disk, here, count, size, offset, comment_bytes = end
    plain = (signature, disk, first_disk, here) == (b"PK\x05\x06", 0, 0, count)
    _require_intact(plain and not comment_bytes, "is cut off, or bytes follow its end")
    require(
        count <= MAX_RECORDS and size <= _MAX_DIRECTORY_BYTES,
        f"its zip archive holds {count} records, more than the {MAX_RECORDS} allowed",
    )
    after = file.size - _END.size - offset - size
    if after == _ZIP64_END.size + _ZIP64_LOCATOR.size:
        tail = file.read(offset + size, after)
        zip64 = (b"PK\x06\x06", 0, 0, count, count, size, offset)
        locator = (b"PK\x06\x07", 0, offset + size, 1)
        found = _ZIP64_END.unpack_from(tail), _ZIP64_LOCATOR.unpack_from(tail, _ZIP64_END.size)
        _require_intact(found == (zip64, locator), "has end records that do not agree")
    else:
        _require_intact(after == 0, "has its directory not where its end says")
    return file.read(offset, size), count, offset


def _parse_directory(directory: bytes, count: int) -> Iterator[Record]:
    at = 0
    for _ in range(count):
        name_at = at + _ENTRY.size
        _require_intact(name_at <= len(directory), "has a directory that is cut off")
        signature, flags, method, crc, packed, size, *more = _ENTRY.unpack_from(directory, at)
        name_bytes, extra_bytes, comment_bytes, disk, header_at = more
        raw_name = directory[name_at : name_at + name_bytes]
        at = name_at + name_bytes + extra_bytes + comment_bytes
        _require_intact(signature == b"PK\x01\x02" and disk == 0, "has no readable directory")
        name, shown = raw_name.decode("utf-8", "replace"), printable(raw_name)
        usable = len(raw_name) <= _MAX_NAME_BYTES and name.isprintable() and "\ufffd" not in name
        usable = usable and not {"", ".", ".."} & set(name.split("/"))
        require(usable, f"a record has the unusable name {shown}")
        require(not flags & _ENCRYPTED, f"record {shown} is encrypted")
        require(
            method == _STORED and packed == size and not flags & ~(_SIZES_FOLLOW | _UTF8_NAME),
            f"record {shown} is compressed or otherwise not stored as it is",
            "Unpack the archive and save the checkpoint again with `torch.save`.",
        )
        yield Record(name, size, crc, flags, header_at)
    _require_intact(at == len(directory), "has bytes left over in its directory")


class StoredZip:
    """The records of an archive, every header checked before any data is read.

    The first record starts the file, the directory ends it, no two records overlap, each local
    header says what the directory says. `pinned` says that the file's digest was verified, so that
    records without a checksum (0) may be read.
    """

    def __init__(self, file: RegularFile, pinned: bool):
        self._file = file
        self._pinned = pinned
        directory, count, directory_at = _read_directory(file)
        entries = sorted(_parse_directory(directory, count), key=lambda entry: entry.header_at)
        at_start = bool(entries) and entries[0].header_at == 0
        _require_intact(at_start, "does not start with its first record")
        limits = [entry.header_at for entry in entries[1:]] + [directory_at]
        self.records: dict[str, Record] = {}
        for entry, limit in zip(entries, limits, strict=True):
            name = printable(entry.name)
            require(entry.name not in self.records, f"it holds two records named {name}")
            self.records[entry.name] = self._located(entry, limit)

    def read(self, name: str, limit: int) -> bytes:
        """Returns a record that may have at most `limit` bytes."""
        size = self.records[name].size
        shown = printable(name)
        require(size <= limit, f"record {shown} has {size} bytes, more than the {limit} allowed")
        data = bytearray(size)
        self.read_into(name, memoryview(data))
        return bytes(data)

    def read_into(self, name: str, buffer: memoryview) -> None:
        """Fills `buffer`, which has the record's size, and compares the checksum."""
        record = self.records[name]
        self._file.read_into(record.data_at, buffer)
        if zlib.crc32(buffer) == record.crc:
            return
        require(not record.crc, f"it is damaged: record {printable(name)} does not have its CRC-32")
        require(
            self._pinned,
            f"record {printable(name)} has no checksum, so damage would go unseen",
            "Give the file's SHA-256 as `sha256`, or save it again with torch's checksums on.",
        )

    def _located(self, entry: Record, limit: int) -> Record:
        """Compares an entry of the directory with its local header; the record with `data_at`."""
        name_at, shown = entry.header_at + _HEADER.size, printable(entry.name)
        _require_intact(name_at <= limit, f"has a record {shown} that overlaps another")
        header = _HEADER.unpack(self._file.read(entry.header_at, _HEADER.size))
        signature, flags, method, *sizes, name_bytes, extra_bytes = header
        data_at = name_at + name_bytes + extra_bytes
        fits = data_at + entry.size <= limit
        _require_intact(fits, f"has a record {shown} that overlaps another")
        name = self._file.read(name_at, name_bytes)
        expected = (b"PK\x03\x04", entry.flags, _STORED, entry.name.encode())
        agree = (signature, flags, method, name) == expected and (
            sizes == [entry.crc, entry.size, entry.size]
            or (sizes == [0, 0, 0] and bool(flags & _SIZES_FOLLOW))
        )
        _require_intact(agree, f"has two headers of record {shown} that do not agree")
        return dataclasses.replace(entry, data_at=data_at)
