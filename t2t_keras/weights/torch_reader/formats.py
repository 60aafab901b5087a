"""The two layouts of torch's files: a stored zip, and the stream before torch 1.6."""

import functools
import re
from typing import Any

from t2t_keras.weights.torch_reader.globals import TorchGlobals
from t2t_keras.weights.torch_reader.invalid import (
    SAVE_ON_LITTLE_ENDIAN,
    InvalidCheckpoint,
    printable,
    require,
)
from t2t_keras.weights.torch_reader.regular_file import RegularFile
from t2t_keras.weights.torch_reader.stored_zip import StoredZip
from t2t_keras.weights.torch_reader.tensors import Storages
from t2t_keras.weights.torch_reader.unpickler import MAX_PICKLE_BYTES, Unpickler
from t2t_keras.weights.torch_reader.values import require_tree

_PICKLE = "data.pkl"
_STORAGE = re.compile(r"data/([0-9]{1,20})")
_NOTES = frozenset(("version", "byteorder", ".format_version", ".storage_alignment"))
_NOTE_FOLDER = ".data/"
_NOTE_BYTES = 1024
_HIGHEST_VERSION = 10
_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_COUNT_BYTES = 8


def _folder(archive: StoredZip) -> str:
    """Returns the folder, with its slash, that holds the one pickle and everything else."""
    pickles = [name for name in archive.records if name.split("/")[1:] == [_PICKLE]]
    require(
        bool(pickles),
        "it is a zip archive without a data.pkl, not a PyTorch checkpoint (.keras and .npz "
        "files are such archives)",
        "Give the .pth or .pth.tar file.",
    )
    require(
        len(pickles) == 1, f"it holds {len(pickles)} pickles, {printable(pickles[-1])} among them"
    )
    return pickles[0].removesuffix(_PICKLE)


def _require_known_records(archive: StoredZip, folder: str) -> None:
    for name in archive.records:
        inside = name.removeprefix(folder)
        require(
            not name.startswith(folder + "code/") and inside != "constants.pkl",
            "it is a TorchScript program, not a checkpoint",
            "Save `model.state_dict()` with `torch.save` instead of `torch.jit.save`.",
        )
        known = inside == _PICKLE or inside in _NOTES or inside.startswith(_NOTE_FOLDER)
        require(
            name.startswith(folder) and (known or _STORAGE.fullmatch(inside) is not None),
            f"it holds a record {printable(name)} that no checkpoint has",
        )


def _require_readable(archive: StoredZip, folder: str) -> None:
    """Checks the notes of the archive about its own format."""
    notes = {
        name.removeprefix(folder): archive.read(name, _NOTE_BYTES)
        for name in archive.records
        if not name.startswith(f"{folder}data")
    }
    order, version = notes.get("byteorder", b"little"), notes.get("version", b"").strip()
    require(
        order == b"little",
        f"its numbers have the byte order {printable(order)}, only little is read",
        SAVE_ON_LITTLE_ENDIAN,
    )
    require(
        version.isdigit() and 1 <= int(version) <= _HIGHEST_VERSION,
        f"its format version {printable(version)} is not one from 1 to {_HIGHEST_VERSION}",
        "Save it again with a current PyTorch.",
    )


def _read_pickle(data: bytes, position: int, known: TorchGlobals) -> tuple[Any, int]:
    unpickler = Unpickler(data, position, known)
    return unpickler.run(), unpickler.position


def read_zip_checkpoint(file: RegularFile, pinned: bool) -> Any:
    """Returns the value of the archive's pickle; `pinned` as `StoredZip` has it."""
    archive = StoredZip(file, pinned)
    folder = _folder(archive)
    _require_known_records(archive, folder)
    _require_readable(archive, folder)
    sizes = {
        match[1]: record.size
        for name, record in archive.records.items()
        if (match := _STORAGE.fullmatch(name.removeprefix(folder)))
    }
    storages = Storages(file.size, sizes)
    pickled = archive.read(folder + _PICKLE, MAX_PICKLE_BYTES)
    value, end = _read_pickle(pickled, 0, TorchGlobals(storages))
    require(end == len(pickled), "its pickle has bytes after its end")
    require_tree(value)
    if surplus := sizes.keys() - storages.by_key.keys():
        raise InvalidCheckpoint(f"the storage {min(surplus)} belongs to no tensor")
    for key, storage in storages.by_key.items():
        storage.fill(functools.partial(archive.read_into, f"{folder}data/{key}"))
    return value


def _skip_header(data: bytes, known: TorchGlobals) -> int:
    """Checks the magic number, the protocol and the writer's machine; returns their end."""
    magic, position = _read_pickle(data, 0, known)
    is_magic = type(magic) is int and magic == _MAGIC
    fix = "Give the file that `torch.save` wrote."
    require(is_magic, "it is a pickle, not a PyTorch checkpoint", fix)
    protocol, position = _read_pickle(data, position, known)
    known_protocol = type(protocol) is int and protocol == _PROTOCOL
    require(known_protocol, "its protocol version is not the one of old PyTorch files")
    system, position = _read_pickle(data, position, known)
    require(
        type(system) is dict and system.get("little_endian") is True,
        "it was written on a big-endian machine, only little-endian numbers are read",
        SAVE_ON_LITTLE_ENDIAN,
    )
    return position


def _require_keys(keys: Any, storages: Storages) -> None:
    are_keys = type(keys) is list and all(type(key) is str for key in keys)
    require(are_keys, "it is damaged: its list of storages is not one")
    agree = len(keys) == len(storages.by_key) and set(keys) == storages.by_key.keys()
    require(agree, "it is damaged: its list of storages is not the one its tensors need")


def read_legacy_checkpoint(file: RegularFile) -> Any:
    """Returns the value of the stream's fourth pickle; the format has no checksums."""
    storages = Storages(file.size)
    known = TorchGlobals(storages)
    pickled = file.read(0, min(file.size, MAX_PICKLE_BYTES))
    position = _skip_header(pickled, known)
    value, position = _read_pickle(pickled, position, known)
    require_tree(value)
    keys, position = _read_pickle(pickled, position, known)
    _require_keys(keys, storages)
    ends_at = position + sum(
        _COUNT_BYTES + storage.stored_bytes for storage in storages.by_key.values()
    )
    require(
        ends_at == file.size, f"it is damaged: it should have {ends_at} bytes, it has {file.size}"
    )
    with file.unchanging(pickled):
        for key in keys:
            storage = storages.by_key[key]
            count = int.from_bytes(file.read(position, _COUNT_BYTES), "little", signed=True)
            counted = count == storage.values.size
            require(counted, f"it is damaged: storage {key} has {count} elements")
            start = position + _COUNT_BYTES
            storage.fill(functools.partial(file.read_into, start))
            position = start + storage.stored_bytes
    return value
