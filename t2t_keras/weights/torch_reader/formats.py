"""The two layouts of torch's files: a stored zip, and the stream before torch 1.6."""

import re

from t2t_keras.weights.torch_reader.file_kinds import InvalidCheckpoint, printable
from t2t_keras.weights.torch_reader.globals import TorchGlobals
from t2t_keras.weights.torch_reader.stored_zip import RegularFile, StoredZip
from t2t_keras.weights.torch_reader.tensors import Storages
from t2t_keras.weights.torch_reader.unpickler import MAX_PICKLE_BYTES, Unpickler
from t2t_keras.weights.torch_reader.values import require_tree

_PICKLE = "data.pkl"
_STORAGE = re.compile(r"data/([0-9]{1,20})")
_NOTES = frozenset(("version", "byteorder", ".format_version", ".storage_alignment"))
_NOTE_FOLDER = ".data/"
_NOTE_BYTES = 64
_HIGHEST_VERSION = 10


def read_zip_checkpoint(file: RegularFile, pinned: bool) -> object:
    """What the archive's pickle describes, tensors as arrays.

    Args:
        file: A file that starts like a zip archive.
        pinned: Its SHA-256 was verified, so records without checksums are accepted.

    Raises:
        InvalidCheckpoint: The archive is damaged, unsafe, or not a checkpoint.
    """
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
    machine = Unpickler(pickled, 0, TorchGlobals(storages))
    value = machine.run()
    if machine.position != len(pickled):
        raise InvalidCheckpoint("its pickle has bytes behind its end")
    require_tree(value)
    if surplus := sizes.keys() - storages.by_key.keys():
        raise InvalidCheckpoint(f"the storage {min(surplus)} belongs to no tensor")
    for key, storage in storages.by_key.items():
        storage.fill(lambda buffer, name=f"{folder}data/{key}": archive.read_into(name, buffer))
    return value


def _folder(archive: StoredZip) -> str:
    """The folder, with its slash, that holds the one pickle and everything else."""
    pickles = [name for name in archive.records if name.split("/")[1:] == [_PICKLE]]
    if not pickles:
        raise InvalidCheckpoint(
            "it is a zip archive without a data.pkl, not a PyTorch checkpoint (.keras and .npz "
            "files are such archives)",
            "Give the .pth or .pth.tar file.",
        )
    if len(pickles) > 1:
        raise InvalidCheckpoint(
            f"it holds {len(pickles)} pickles, {printable(pickles[1])} among them"
        )
    return pickles[0].removesuffix(_PICKLE)


def _require_known_records(archive: StoredZip, folder: str) -> None:
    for name in archive.records:
        inside = name.removeprefix(folder)
        if name.startswith(folder + "code/") or inside == "constants.pkl":
            raise InvalidCheckpoint(
                "it is a TorchScript program, not a checkpoint",
                "Save `model.state_dict()` with `torch.save` instead of `torch.jit.save`.",
            )
        known = inside == _PICKLE or inside in _NOTES or inside.startswith(_NOTE_FOLDER)
        if not name.startswith(folder) or not (known or _STORAGE.fullmatch(inside)):
            raise InvalidCheckpoint(f"it holds a record {printable(name)} that no checkpoint has")


def _require_readable(archive: StoredZip, folder: str) -> None:
    """Checks what the archive notes about its own format."""
    notes = {
        name: archive.read(folder + name, _NOTE_BYTES)
        for name in sorted(_NOTES)
        if folder + name in archive.records
    }
    if notes.get("byteorder", b"little") != b"little":
        raise InvalidCheckpoint(
            f"its numbers have the byte order {printable(notes['byteorder'])}, only little is read",
            "Load it in PyTorch on a common (x86 or ARM) machine and save it again there.",
        )
    version = notes.get("version", b"").strip()
    if not version.isdigit() or not 1 <= int(version) <= _HIGHEST_VERSION:
        raise InvalidCheckpoint(
            f"its format version {printable(version)} is not one from 1 to {_HIGHEST_VERSION}",
            "Save it again with a current PyTorch.",
        )


_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_COUNT_BYTES = 8


def read_legacy_checkpoint(file: RegularFile) -> object:
    """What the stream's third pickle describes, tensors as arrays.

    The format has no checksums: only a SHA-256 of the file tells a damaged weight from a good one.

    Raises:
        InvalidCheckpoint: The stream is damaged, unsafe, or not a checkpoint.
    """
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
    if ends_at != file.size:
        raise InvalidCheckpoint(
            f"it is damaged: it should have {ends_at} bytes, it has {file.size}"
        )
    for key in keys:
        storage = storages.by_key[key]
        count = int.from_bytes(file.read(position, _COUNT_BYTES), "little", signed=True)
        if count != storage.values.size:
            raise InvalidCheckpoint(f"it is damaged: storage {key} has {count} elements")
        position += _COUNT_BYTES
        start = position
        storage.fill(lambda buffer, start=start: file.read_into(start, buffer))
        position += storage.stored_bytes
    return value


def _read_pickle(data: bytes, position: int, known: TorchGlobals) -> tuple[object, int]:
    machine = Unpickler(data, position, known)
    return machine.run(), machine.position


def _skip_header(data: bytes, known: TorchGlobals) -> int:
    """Checks the magic number, the protocol and the writer's machine; the place behind them."""
    magic, position = _read_pickle(data, 0, known)
    if type(magic) is not int or magic != _MAGIC:
        raise InvalidCheckpoint(
            "it is a pickle, not a PyTorch checkpoint",
            "Give the file that `torch.save` wrote.",
        )
    protocol, position = _read_pickle(data, position, known)
    if type(protocol) is not int or protocol != _PROTOCOL:
        raise InvalidCheckpoint("its protocol version is not the one of old PyTorch files")
    system, position = _read_pickle(data, position, known)
    if type(system) is not dict or system.get("little_endian") is not True:
        raise InvalidCheckpoint(
            "it was written on a big-endian machine, only little-endian numbers are read",
            "Load it in PyTorch on a common (x86 or ARM) machine and save it again there.",
        )
    return position


def _require_keys(keys: object, storages: Storages) -> None:
    if type(keys) is not list or not all(type(key) is str for key in keys):
        raise InvalidCheckpoint("it is damaged: its list of storages is not one")
    if len(keys) != len(storages.by_key) or set(keys) != storages.by_key.keys():
        raise InvalidCheckpoint(
            "it is damaged: its list of storages is not the one its tensors need"
        )
