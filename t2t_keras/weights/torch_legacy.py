"""The stream that torch.save wrote before PyTorch 1.6: five pickles, then the raw storages."""

from t2t_keras.weights.pickle_machine import MAX_PICKLE_BYTES, PickleMachine
from t2t_keras.weights.refusal import Refusal
from t2t_keras.weights.regular_file import RegularFile
from t2t_keras.weights.torch_globals import TorchGlobals
from t2t_keras.weights.torch_tensors import Storages
from t2t_keras.weights.value_tree import require_tree

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_COUNT_BYTES = 8


def read_legacy_checkpoint(file: RegularFile) -> object:
    """What the stream's third pickle describes, tensors as arrays.

    The format has no checksums: only a SHA-256 of the file tells a damaged weight from a good one.

    Raises:
        Refusal: The stream is damaged, unsafe, or not a checkpoint.
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
        raise Refusal(f"it is damaged: it should have {ends_at} bytes, it has {file.size}")
    for key in keys:
        storage = storages.by_key[key]
        count = int.from_bytes(file.read(position, _COUNT_BYTES), "little", signed=True)
        if count != storage.values.size:
            raise Refusal(f"it is damaged: storage {key} has {count} elements")
        position += _COUNT_BYTES
        start = position
        storage.fill(lambda buffer, start=start: file.read_into(start, buffer))
        position += storage.stored_bytes
    return value


def _read_pickle(data: bytes, position: int, known: TorchGlobals) -> tuple[object, int]:
    machine = PickleMachine(data, position, known)
    return machine.run(), machine.position


def _skip_header(data: bytes, known: TorchGlobals) -> int:
    """Checks the magic number, the protocol and the writer's machine; the place behind them."""
    magic, position = _read_pickle(data, 0, known)
    if type(magic) is not int or magic != _MAGIC:
        raise Refusal(
            "it is a pickle, not a PyTorch checkpoint",
            "Give the file that `torch.save` wrote.",
        )
    protocol, position = _read_pickle(data, position, known)
    if type(protocol) is not int or protocol != _PROTOCOL:
        raise Refusal("its protocol version is not the one of old PyTorch files")
    system, position = _read_pickle(data, position, known)
    if type(system) is not dict or system.get("little_endian") is not True:
        raise Refusal(
            "it was written on a big-endian machine, only little-endian numbers are read",
            "Load it in PyTorch on a common (x86 or ARM) machine and save it again there.",
        )
    return position


def _require_keys(keys: object, storages: Storages) -> None:
    if type(keys) is not list or not all(type(key) is str for key in keys):
        raise Refusal("it is damaged: its list of storages is not one")
    if len(keys) != len(storages.by_key) or set(keys) != storages.by_key.keys():
        raise Refusal("it is damaged: its list of storages is not the one its tensors need")
