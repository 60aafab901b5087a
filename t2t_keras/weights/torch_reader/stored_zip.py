"""A strict reader of zip archives whose records are stored as they are, not compressed."""

import dataclasses
import hashlib
import os
import stat
import struct
import zlib

from t2t_keras.weights.torch_reader.file_kinds import InvalidCheckpoint, printable

MAX_FILE_BYTES = 2**32 - 1
_CHUNK_BYTES = 1 << 20
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


class RegularFile:
    """A regular file open for reading, as a context manager.

    Args:
        path: The file. Links are followed; pipes, devices and directories are not opened.

    Raises:
        InvalidCheckpoint: It is not a regular file, or larger than `MAX_FILE_BYTES`.
        OSError: It does not exist or may not be read.
    """

    def __init__(self, path: str | os.PathLike):
        _require_regular(os.stat(path).st_mode)
        # The path may become a pipe between the two calls: O_NONBLOCK keeps that from hanging.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        self._file = os.fdopen(os.open(path, flags), "rb", buffering=0)
        try:
            self._opened = os.fstat(self._file.fileno())
            _require_regular(self._opened.st_mode)
            if self._opened.st_size > MAX_FILE_BYTES:
                raise InvalidCheckpoint(
                    f"it has {self._opened.st_size} bytes; at most {MAX_FILE_BYTES} are read",
                    "Give the checkpoint of a T2T-ViT, or save only `model.state_dict()`.",
                )
        except InvalidCheckpoint:
            self._file.close()
            raise

    def __enter__(self) -> "RegularFile":
        return self

    def __exit__(self, *exception) -> None:
        self._file.close()

    @property
    def size(self) -> int:
        """Bytes in the file when it was opened."""
        return self._opened.st_size

    def read(self, offset: int, count: int) -> bytes:
        """Exactly `count` bytes from `offset` on."""
        buffer = bytearray(count)
        self.read_into(offset, memoryview(buffer))
        return bytes(buffer)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fills the whole of `buffer` (bytes) with what stands from `offset` on."""
        self._file.seek(offset)
        done = 0
        while done < len(buffer):
            count = self._file.readinto(buffer[done:])
            if not count:
                raise InvalidCheckpoint("it ends before the data it announces")
            done += count

    def sha256(self) -> str:
        """The digest of the whole file, as 64 lower-case hexadecimal digits."""
        digest = hashlib.sha256()
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK_BYTES):
            digest.update(chunk)
        return digest.hexdigest()

    def require_unchanged(self) -> None:
        """Refuses a file that something wrote to since it was opened."""
        now = os.fstat(self._file.fileno())
        before = self._opened
        if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise InvalidCheckpoint(
                "it changed while it was read", "Wait until it is written, then try again."
            )


def _require_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((words for is_kind, words in _KINDS if is_kind(mode)), "not a regular file")
        raise InvalidCheckpoint(
            f"it is {kind}, not a checkpoint file", "Give the path of the .pth or .pth.tar file."
        )


MAX_RECORDS = 20_000
_MAX_DIRECTORY_BYTES = 8 << 20
_MAX_NAME_BYTES = 512
_PIECE_BYTES = 1 << 20
_END = struct.Struct("<4s4H2IH")
_ZIP64_END = struct.Struct("<4sQ2H2I4Q")
_ZIP64_LOCATOR = struct.Struct("<4sIQI")
_ENTRY = struct.Struct("<4s6H3I5H2I")
_HEADER = struct.Struct("<4s5H3I2H")
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


class StoredZip:
    """The records of an archive, every header checked before any data is read.

    The first record starts the file, the directory ends it, no two records overlap, each local
    header says what the directory says. Nothing is ever written to disk.

    Args:
        file: The archive.
        pinned: The file's digest was verified, so records without a checksum (0) may be read.

    Raises:
        InvalidCheckpoint: The archive is damaged or not of this plain kind.
    """

    def __init__(self, file: RegularFile, pinned: bool):
        self._file = file
        self._pinned = pinned
        directory, count, directory_at = _read_directory(file)
        entries = _parse_directory(directory, count)
        self.records = {record.name: record for record in self._locate(entries, directory_at)}

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of a record that may have at most `limit` of them."""
        size = self.records[name].size
        if size > limit:
            raise InvalidCheckpoint(
                f"record {printable(name)} has {size} bytes, more than the {limit} allowed"
            )
        data = bytearray(size)
        self.read_into(name, memoryview(data))
        return bytes(data)

    def read_into(self, name: str, buffer: memoryview) -> None:
        """Fills `buffer`, which has the record's size, and compares the checksum."""
        self._file.read_into(self.records[name].data_at, buffer)
        self._compare(name, zlib.crc32(buffer))

    def verify(self, name: str) -> None:
        """Compares a record's checksum without holding the record."""
        record, checksum = self.records[name], 0
        buffer = memoryview(bytearray(min(record.size, _PIECE_BYTES)))
        for done in range(0, record.size, _PIECE_BYTES):
            piece = buffer[: record.size - done]
            self._file.read_into(record.data_at + done, piece)
            checksum = zlib.crc32(piece, checksum)
        self._compare(name, checksum)

    def _compare(self, name: str, checksum: int) -> None:
        record = self.records[name]
        if checksum == record.crc:
            return
        if record.crc:
            raise InvalidCheckpoint(
                f"it is damaged: record {printable(name)} does not have its CRC-32"
            )
        if not self._pinned:
            raise InvalidCheckpoint(
                f"record {printable(name)} has no checksum, so damage would go unseen",
                "Give the file's SHA-256 as `sha256=`, or save it again with torch's checksums on.",
            )

    def _locate(self, entries: list[Record], end: int) -> list[Record]:
        """The records with `data_at` set, in the order they stand in the file."""
        entries.sort(key=lambda record: record.header_at)
        limits = [record.header_at for record in entries[1:]] + [end]
        if not entries or entries[0].header_at != 0:
            raise InvalidCheckpoint(
                "it is damaged: bytes stand before the first record of the zip archive"
            )
        return [self._check(entry, limit) for entry, limit in zip(entries, limits, strict=True)]

    def _check(self, entry: Record, limit: int) -> Record:
        """Compares a record's local header with its entry in the directory."""
        if entry.header_at + _HEADER.size > limit:
            raise InvalidCheckpoint(
                f"it is damaged: record {printable(entry.name)} overlaps another"
            )
        header = _HEADER.unpack(self._file.read(entry.header_at, _HEADER.size))
        signature, _, flags, method, _, _, crc, packed, size, name_bytes, extra_bytes = header
        data_at = entry.header_at + _HEADER.size + name_bytes + extra_bytes
        if data_at + entry.size > limit:
            raise InvalidCheckpoint(
                f"it is damaged: record {printable(entry.name)} overlaps another"
            )
        name = self._file.read(entry.header_at + _HEADER.size, name_bytes)
        expected = (b"PK\x03\x04", entry.flags, _STORED, entry.name.encode())
        sizes = (crc, packed, size)
        if (signature, flags, method, name) != expected or not (
            sizes == (entry.crc, entry.size, entry.size)
            or (flags & _SIZES_FOLLOW and sizes == (0, 0, 0))
        ):
            raise InvalidCheckpoint(
                f"it is damaged: the two headers of record {printable(entry.name)} do not agree"
            )
        return dataclasses.replace(entry, data_at=data_at)


def _read_directory(file: RegularFile) -> tuple[bytes, int, int]:
    """The central directory, its number of entries and where it starts."""
    if file.size < _END.size:
        raise InvalidCheckpoint("it is damaged: the zip archive is cut off")
    end = _END.unpack(file.read(file.size - _END.size, _END.size))
    signature, disk, first_disk, here, count, size, offset, comment_bytes = end
    if signature != b"PK\x05\x06" or disk or first_disk or here != count or comment_bytes:
        raise InvalidCheckpoint(
            "it is damaged: the zip archive is cut off, or bytes stand behind its end"
        )
    if count > MAX_RECORDS or size > _MAX_DIRECTORY_BYTES:
        raise InvalidCheckpoint(
            f"its zip archive holds {count} records, more than the {MAX_RECORDS} allowed"
        )
    after = file.size - _END.size - offset - size
    if after == _ZIP64_END.size + _ZIP64_LOCATOR.size:
        tail = file.read(offset + size, after)
        zip64 = _ZIP64_END.unpack(tail[: _ZIP64_END.size])
        locator = _ZIP64_LOCATOR.unpack(tail[_ZIP64_END.size :])
        if zip64[0] != b"PK\x06\x06" or zip64[4:] != (0, 0, count, count, size, offset):
            raise InvalidCheckpoint("it is damaged: the zip archive's two end records do not agree")
        if locator != (b"PK\x06\x07", 0, offset + size, 1):
            raise InvalidCheckpoint("it is damaged: the zip archive's end records do not agree")
    elif after != 0:
        raise InvalidCheckpoint(
            "it is damaged: the zip archive's directory is not where its end says"
        )
    return file.read(offset, size), count, offset


def _parse_directory(directory: bytes, count: int) -> list[Record]:
    records: dict[str, Record] = {}
    at = 0
    for _ in range(count):
        if at + _ENTRY.size > len(directory):
            raise InvalidCheckpoint("it is damaged: the zip archive's directory is cut off")
        entry = _ENTRY.unpack_from(directory, at)
        signature, _, _, flags, method, _, _, crc, packed, size = entry[:10]
        name_bytes, extra_bytes, comment_bytes, disk = entry[10:14]
        name_at = at + _ENTRY.size
        name = _record_name(directory[name_at : name_at + name_bytes])
        at = name_at + name_bytes + extra_bytes + comment_bytes
        if signature != b"PK\x01\x02" or disk:
            raise InvalidCheckpoint("it is damaged: the zip archive's directory is not readable")
        if flags & _ENCRYPTED:
            raise InvalidCheckpoint(f"record {printable(name)} is encrypted")
        if method != _STORED or packed != size or flags & ~(_SIZES_FOLLOW | _UTF8_NAME):
            raise InvalidCheckpoint(
                f"record {printable(name)} is compressed or otherwise not stored as it is",
                "Unpack the archive and save the checkpoint again with `torch.save`.",
            )
        if name in records:
            raise InvalidCheckpoint(f"it holds two records named {printable(name)}")
        records[name] = Record(name, size, crc, flags, header_at=entry[16])
    if at != len(directory):
        raise InvalidCheckpoint("it is damaged: the zip archive's directory has bytes left over")
    return list(records.values())


def _record_name(raw: bytes) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        name = ""
    parts = name.split("/")
    if len(raw) > _MAX_NAME_BYTES or not name.isprintable() or {"", ".", ".."} & set(parts):
        raise InvalidCheckpoint(f"a record has the unusable name {printable(raw)}")
    return name
