"""Damaged copies of good checkpoints: random changes of bytes, and the reader's answer to each."""

import collections
import dataclasses
import hashlib
import io
import random
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from t2t_keras.errors import CheckpointError
from t2t_keras.weights.torch_reader import OpaqueObject, read_torch_checkpoint
from tests.conftest import DATA
from tests.support.weights import torch_writer as torch

GOLDEN_SHARE = 0.05
REZIPPED_SHARE = 0.3
_LENGTHS = (1, 2, 3, 4, 8, 16, 64, 256)
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)


def _span(data: bytearray, rng: random.Random) -> slice:
    start = rng.randrange(len(data) + 1)
    return slice(start, min(len(data), start + rng.choice(_LENGTHS)))


def _flip_bit(data: bytearray, rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set_byte(data: bytearray, rng: random.Random) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.randrange(256)


def _set_number(data: bytearray, rng: random.Random) -> None:
    width = rng.choice((1, 2, 4, 8))
    number = rng.choice(_NUMBERS) % 256**width
    start = rng.randrange(len(data) + 1)
    data[start : start + width] = number.to_bytes(width, rng.choice(("little", "big")))


def _zero(data: bytearray, rng: random.Random) -> None:
    span = _span(data, rng)
    data[span] = bytes(span.stop - span.start)


def _delete(data: bytearray, rng: random.Random) -> None:
    del data[_span(data, rng)]


def _insert(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data) + 1)
    data[start:start] = rng.randbytes(rng.choice(_LENGTHS))


def _repeat(data: bytearray, rng: random.Random) -> None:
    span = _span(data, rng)
    data[span.start : span.start] = data[span] * rng.choice((1, 1, 2, 16))


def _move(data: bytearray, rng: random.Random) -> None:
    piece, to = data[_span(data, rng)], rng.randrange(len(data) + 1)
    data[to : to + len(piece)] = piece


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data) + 1) :]


_CHANGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    *(_flip_bit, _flip_bit, _set_byte, _set_byte, _set_number, _set_number),
    *(_zero, _delete, _insert, _repeat, _move, _cut),
)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """`data` after one to four random changes; never equal to it."""
    mutant = bytearray(data)
    while mutant == data:
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            rng.choice(_CHANGES)(mutant, rng)
    return bytes(mutant)


@dataclasses.dataclass(frozen=True)
class Original:
    """A good file, a digest of its contents, and whether its format is the zip one."""

    data: bytes
    digest: str
    zipped: bool


@dataclasses.dataclass
class Tally:
    """The reader's answers to the damaged files.

    Attributes:
        outcomes: How many were "refused", loaded "same" as the original or "different".
        faults: A description of each file that broke a promise of the reader.
        slowest: Most seconds of processor time that one file took.
    """

    outcomes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    faults: list[str] = dataclasses.field(default_factory=list)
    slowest: float = 0.0


def fuzz(folder: Path, seed: int | str, cases: int, most_seconds: float) -> Tally:
    """Reads `cases` damaged files, half of them zip files and half of them old streams.

    `folder` is where each file is written in turn, `seed` decides every file, and one that takes
    more than `most_seconds` of processor time is a fault.
    """
    tally = Tally()
    small, golden = _small_originals(folder), _golden_originals()
    path = folder / "fuzzed.pth"
    for case in range(cases):
        rng = random.Random(f"{seed}/{case}")
        original = (golden if rng.random() < GOLDEN_SHARE else small)[case % 2]
        rezipped = original.zipped and rng.random() < REZIPPED_SHARE
        path.write_bytes((_rezipped if rezipped else mutate)(original.data, rng))
        start = time.process_time()
        try:
            same = digest(read_torch_checkpoint(path)) == original.digest
            outcome = "same" if same else "different"
            if not same and original.zipped and not rezipped:
                tally.faults.append(f"case {case}: loaded with other contents")
        except CheckpointError as error:
            outcome = "refused"
            if str(path) not in str(error):
                tally.faults.append(f"case {case}: the message does not name the file: {error}")
        except Exception as error:  # noqa: BLE001 - anything else that comes out is a finding
            outcome = "fault"
            tally.faults.append(f"case {case}: {type(error).__name__}: {error}")
        seconds = time.process_time() - start
        tally.outcomes[outcome] += 1
        tally.slowest = max(tally.slowest, seconds)
        if seconds > most_seconds:
            tally.faults.append(f"case {case}: took {seconds:.1f} s")
    return tally


def digest(value: object) -> str:
    """SHA-256 over everything that was read."""
    total = hashlib.sha256()
    _feed(total, value)
    return total.hexdigest()


def _feed(total, value: object) -> None:
    if isinstance(value, OpaqueObject):
        total.update(value.class_name.encode())
        value = value.attributes
    if isinstance(value, np.ndarray):
        total.update(f"{value.dtype} {value.shape}".encode() + value.tobytes())
    elif isinstance(value, dict | list | tuple):
        total.update(f"{type(value)} {len(value)}".encode())
        for item in value.items() if isinstance(value, dict) else value:
            _feed(total, item)
    else:
        total.update(repr(value).encode())


def _small_originals(folder: Path) -> list[Original]:
    """A file of about 2 kB in either format that holds something of every kind."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal(24).astype(np.float32)
    halves = rng.standard_normal(6).astype(np.float16)
    storages = {"0": weights, "1": halves, "2": np.arange(3), "3": halves.view("<u2")}
    path, originals = folder / "original.pth", []
    for legacy in (False, True):
        data = torch.container(torch.whole(_small_pickle(legacy)), storages, legacy)
        path.write_bytes(data)
        originals.append(Original(data, digest(read_torch_checkpoint(path)), not legacy))
    return originals


def _small_pickle(legacy: bool) -> bytes:
    source = torch.storage("0", 24, legacy=legacy)
    hooks = torch.call(torch.named("collections", "OrderedDict"))
    weight = torch.tensor(source, [2, 3, 4], [12, 4, 1])
    rebuild_parameter = torch.named("torch._utils", "_rebuild_parameter")
    state_dict = {
        "blocks.0.w": weight,
        "blocks.0.transposed": torch.tensor(source, [4, 3], [1, 4], offset=12),
        "blocks.0.p": torch.call(rebuild_parameter, weight, b"\x88", hooks),
        "head.half": torch.tensor(torch.storage("1", 6, "HalfStorage", legacy), [2, 3], [3, 1]),
        "head.count": torch.tensor(torch.storage("2", 3, "LongStorage", legacy), [], [], 2),
        "head.brain": torch.tensor(torch.storage("3", 6, "BFloat16Storage", legacy), [6], [1]),
    }
    namespace = torch.named("argparse", "Namespace") + b")\x81"
    arguments = torch.mapping({"lr": b"G?\xf0\0\0\0\0\0\0", "name": torch.text("tiny")})
    dtype = torch.call(torch.named("numpy", "dtype"), torch.text("f8"), b"\x89", b"\x88")
    scalar = torch.named("numpy.core.multiarray", "scalar")
    return torch.mapping(
        {
            "state_dict": torch.mapping(state_dict),
            "epoch": b"K\x07",
            "args": namespace + arguments + b"b",
            "groups": b"](" + torch.numbers([1, 2]) + b"q\x00h\x00N\x88e",
            "best": torch.call(scalar, dtype, b"C\x08abcdefgh"),
            "size": torch.call(torch.named("torch", "Size"), torch.numbers([2, 3])),
        }
    )


def _golden_originals() -> list[Original]:
    paths = (DATA / "tiny_transformer_half.pth.tar", DATA / "tiny_performer_legacy.pth.tar")
    return [
        Original(path.read_bytes(), digest(read_torch_checkpoint(path)), zipped)
        for path, zipped in zip(paths, (True, False), strict=True)
    ]


def _rezipped(data: bytes, rng: random.Random) -> bytes:
    """The archive with one record damaged and all its checksums right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [torch.Entry(info.filename, archive.read(info)) for info in archive.infolist()]
    pickled = next(entry for entry in entries if entry.name.endswith("data.pkl"))
    entry = pickled if rng.random() < 0.8 else rng.choice(entries)
    entry.data = mutate(entry.data, rng)
    return torch.zip_archive(entries)
