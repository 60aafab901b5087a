"""Files whose outer structure is wrong, damaged, or that of something else."""

import dataclasses
import gzip
import io
import pickle
import struct
import tarfile
import zipfile
import zlib

import numpy as np

from tests.conftest import DATA
from tests.support.weights import torch_writer as torch

ZIP_GOLDEN = DATA / "tiny_transformer_half.pth.tar"
LEGACY_GOLDEN = DATA / "tiny_performer_legacy.pth.tar"
TRUNCATIONS = 40
_GOOD = torch.whole(torch.mapping({"a": torch.tensor(torch.storage("0", 4), [4], [1])}))
_DATA = np.arange(4, dtype=np.float32).tobytes()
_DEFLATED = zlib.compress(bytes(50_000_000))
_DEFLATED_FIELDS = {"data": _DEFLATED, "method": 8, "size": 50_000_000, "packed": len(_DEFLATED)}
_PICKLE, _ORDER, _STORAGE, _VERSION = range(4)  # the records of _entries()
CHANGED_RECORDS = {
    "deflate-bomb": (_STORAGE, _DEFLATED_FIELDS),
    "method-lzma": (_STORAGE, {"method": 14}),
    "encrypted": (_STORAGE, {"flags": 0x801}),
    "strong-encryption": (_STORAGE, {"flags": 0x841}),
    "masked-names": (_STORAGE, {"flags": 0x2800}),
    "odd-flags": (_PICKLE, {"flags": 0xFFFE}),
    "size-larger-than-file": (_STORAGE, {"size": 10**9}),
    "size-4-GiB": (_STORAGE, {"size": 2**32 - 1}),
    "size-shorter": (_STORAGE, {"size": 8}),
    "packed-differs": (_STORAGE, {"packed": 8}),
    "crc-wrong": (_STORAGE, {"crc": 1}),
    "crc-wrong-pickle": (_PICKLE, {"crc": 1}),
    "crc-zero": (_STORAGE, {"crc": 0}),
    "crc-zero-pickle": (_PICKLE, {"crc": 0}),
    "local-name-differs": (_STORAGE, {"local_name": "archive/data/1"}),
    "local-name-empty": (_STORAGE, {"local_name": ""}),
    "header-elsewhere": (_STORAGE, {"header_at": 0}),
    "header-outside": (_STORAGE, {"header_at": 10**6}),
    "header-highest": (_STORAGE, {"header_at": 2**32 - 1}),
    "version-11": (_VERSION, {"data": b"11\n"}),
    "version-text": (_VERSION, {"data": b"abc"}),
    "version-superscript": (_VERSION, {"data": "\u00b2".encode()}),
    "version-large": (_VERSION, {"data": b"3" * 100_000}),
    "byteorder-big": (_ORDER, {"data": b"big"}),
    "byteorder-odd": (_ORDER, {"data": b"middle"}),
    "pickle-large": (_PICKLE, {"data": b"\x80\x02" + 5_000_000 * b"N"}),
}
ADDED_RECORDS = {
    "two-pickles": ("archive/data.pkl", _GOOD),
    "two-folders": ("other/data.pkl", _GOOD),
    "two-storages": ("archive/data/0", _DATA),
    "surplus-storage": ("archive/data/9", _DATA),
    "path-up": ("archive/../../evil", b"x"),
    "path-absolute": ("/etc/cron.d/evil", b"x"),
    "path-backslash": ("archive\\..\\evil", b"x"),
    "path-newline": ("archive/a\nb", b"x"),
    "path-long": ("archive/" + 60_000 * "a", b"x"),
    "path-folder": ("archive/data/", b""),
    "unknown-record": ("archive/evil.py", b"x"),
    "torchscript": ("archive/constants.pkl", b"\x80\x02)."),
    "torchscript-code": ("archive/code/__torch__.py", b"x"),
}


def _entries() -> list[torch.Entry]:
    return torch.zip_entries(_GOOD, {"0": _DATA})


def broken_zips() -> dict[str, bytes]:
    """Archives that are not plainly what torch writes."""
    archives = {}
    for name, (index, fields) in CHANGED_RECORDS.items():
        archives[name] = _entries()
        archives[name][index] = dataclasses.replace(archives[name][index], **fields)
    for name, record in ADDED_RECORDS.items():
        archives[name] = [*_entries(), torch.Entry(*record)]
    for name, index in (("pickle", _PICKLE), ("storage", _STORAGE), ("version", _VERSION)):
        archives[f"no-{name}"] = _entries()
        del archives[f"no-{name}"][index]
    cases = {name: torch.zip_archive(entries) for name, entries in archives.items()}
    for count in (0, 3, 5, 65_535):
        cases[f"count-{count}"] = torch.zip_archive(_entries(), count=count)
    return {**cases, "record-in-record": _nested_records(), **_odd_archives()}


def _nested_records() -> bytes:
    """Storage 1 lies inside storage 0: a file's bytes could be counted any number of times."""
    name = "archive/data/1"
    inner = torch.zip_archive([torch.Entry(name, _DATA)])[: 30 + len(name) + len(_DATA)]
    tensors = {
        "a": torch.tensor(torch.storage("0", len(inner) // 4), [4], [1]),
        "b": torch.tensor(torch.storage("1", len(_DATA) // 4), [4], [1]),
    }
    pickled = torch.whole(torch.mapping(tensors))
    entries = torch.zip_entries(pickled, {"0": inner, "1": _DATA})
    entries[_STORAGE + 1].header_at = torch.zip_archive(entries).index(inner)
    return torch.zip_archive(entries)


def _odd_archives() -> dict[str, bytes]:
    whole = torch.zip_archive(_entries())
    many = [torch.Entry(f"archive/data/{key}", b"") for key in range(1, 20_001)]
    deflated = io.BytesIO()
    with zipfile.ZipFile(deflated, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", _GOOD)
        archive.writestr("archive/data/0", bytes(1_000_000))
        archive.writestr("archive/version", "3")
    return {
        "deflated": deflated.getvalue(),
        "records-20001": torch.zip_archive(_entries() + many),
        "no-records": torch.zip_archive([]),
        "only-end": b"PK\x03\x04" + torch.zip_archive([])[4:],
        "comment": torch.zip_archive(_entries(), comment=b"hello"),
        "bytes-behind": whole + b"x",
        "bytes-before": b"MZ" + whole,
        "bytes-between": b"PK\x03\x04" + whole,
        "two-archives": whole + whole,
        "directory-missing": whole[: whole.index(b"PK\x01\x02")],
        "start-only": whole[:4],
        "keras": torch.zip_archive([torch.Entry("config.json", b"{}")]),
        "npz": torch.zip_archive([torch.Entry("a.npy", b"\x93NUMPY")]),
    }


def broken_streams() -> dict[str, bytes]:
    """Old streams whose parts do not fit each other."""
    source = torch.storage("0", 4, legacy=True)
    good = torch.whole(torch.mapping({"a": torch.tensor(source, [4], [1])}))
    raw = np.arange(4, dtype=np.float32).tobytes()
    whole = torch.legacy_checkpoint(good, {"0": (4, raw)})
    head = len(torch.whole(torch.number(torch.MAGIC)))
    keys = torch.whole(b"](" + torch.text("0") + b"e")
    sized = struct.pack("<q", 4) + raw
    front = whole[: -len(keys) - len(sized)]
    return {
        "count-larger": torch.legacy_checkpoint(good, {"0": (5, raw)}),
        "count-negative": torch.legacy_checkpoint(good, {"0": (-1, raw)}),
        "count-huge": torch.legacy_checkpoint(good, {"0": (2**62, raw)}),
        "data-short": torch.legacy_checkpoint(good, {"0": (4, raw[:-4])}),
        "data-long": torch.legacy_checkpoint(good, {"0": (4, raw + b"x")}),
        "storage-missing": torch.legacy_checkpoint(good, {}),
        "storage-surplus": torch.legacy_checkpoint(good, {"0": (4, raw), "1": (4, raw)}),
        "storage-renamed": torch.legacy_checkpoint(good, {"1": (4, raw)}),
        "keys-twice": front + torch.whole(b"](" + 2 * torch.text("0") + b"e") + sized + sized,
        "keys-dict": front + torch.whole(torch.mapping({"0": b"N"})) + sized,
        "keys-numbers": front + torch.whole(b"](" + torch.number(0) + b"e") + sized,
        "keys-tensors": front + torch.whole(b"](" + torch.call(torch.named("os", "getcwd"))) + raw,
        "big-endian": torch.legacy_checkpoint(good, {"0": (4, raw)}, little_endian=False),
        "magic-wrong": torch.whole(torch.number(torch.MAGIC + 1)) + whole[head:],
        "magic-text": torch.whole(torch.text("magic")) + whole[head:],
        "magic-only": whole[:head],
        "protocol-wrong": whole[:head] + torch.whole(torch.number(1002)),
        "system-list": whole[:head] + torch.whole(torch.number(1001)) + torch.whole(b"]"),
        "bytes-behind": whole + b"x",
        "two-streams": whole + whole,
        "plain-pickle": pickle.dumps({"a": 1}, 2),
        "payload-as-magic": torch.whole(torch.call(torch.named("os", "getcwd"))) + whole[head:],
    }


def other_files() -> dict[str, bytes]:
    """Files of other kinds under a checkpoint's name."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            archive.addfile(tarfile.TarInfo(name))
    return {
        "empty": b"",
        "one-byte": b"\x80",
        "one-letter": b"P",
        "html": b"<!DOCTYPE html><html><body>Quota exceeded</body></html>",
        "html-indented": b"\n\n  <HTML><head>",
        "xml": b"<?xml version='1.0'?><Error>NoSuchKey</Error>",
        "git-lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        "gzip": gzip.compress(ZIP_GOLDEN.read_bytes()),
        "bzip2": b"BZh91AY&SY",
        "xz": b"\xfd7zXZ\x00\x00",
        "7z": b"7z\xbc\xaf\x27\x1c",
        "rar": b"Rar!\x1a\x07\x00",
        "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(100),
        "npy": b"\x93NUMPY\x01\x00",
        "png": b"\x89PNG\r\n\x1a\n",
        "jpeg": b"\xff\xd8\xff\xe0",
        "elf": b"\x7fELF\x02",
        "safetensors": struct.pack("<Q", 2) + b"{}",
        "json": b'{"error": "not found"}',
        "text": b"Not Found",
        "zeros": bytes(4096),
        "noise": np.random.default_rng(0).bytes(4096),
        "tar": packed.getvalue(),
        "number-as-text": b"L119547037146038801333356L\n.",
        "python": b"cos\nsystem\n(S'true'\ntR.",
    }


def damaged_goldens() -> dict[str, bytes]:
    """Real files cut off anywhere, and a zip file with one bit flipped, in each record in turn."""
    cases = {}
    for path in (ZIP_GOLDEN, LEGACY_GOLDEN):
        data = path.read_bytes()
        for end in np.linspace(1, len(data) - 1, TRUNCATIONS).astype(int):
            cases[f"cut-{path.stem}-{end}"] = data[:end]
    data = ZIP_GOLDEN.read_bytes()
    with zipfile.ZipFile(ZIP_GOLDEN) as archive:
        infos = [info for info in archive.infolist() if info.file_size]
    for info in infos:
        name, extra = struct.unpack_from("<2H", data, info.header_offset + 26)
        at = info.header_offset + 30 + name + extra + info.file_size // 2
        flipped = bytearray(data)
        flipped[at] ^= 1 << (at % 8)
        cases[f"flip-{info.filename.replace('/', '-')}"] = bytes(flipped)
    return cases
