"""Reads damaged copies of good checkpoints and counts what becomes of each."""

import collections
import dataclasses
import hashlib
import io
import random
import time
import zipfile
from pathlib import Path

import numpy as np

from t2t_keras.errors import CheckpointError
from t2t_keras.weights import read_torch_checkpoint
from t2t_keras.weights.torch_reader import OpaqueObject
from tests.support.weights import torch_writer as torch
from tests.support.weights.mutations import mutate

DATA = Path(__file__).parents[2] / "goldens"
GOLDEN_SHARE = 0.05
REZIPPED_SHARE = 0.3


@dataclasses.dataclass(frozen=True)
class Original:
    """A good file, what it holds as a digest, and whether its format is the zip one."""

    data: bytes
    digest: str
    zipped: bool


@dataclasses.dataclass
class Tally:
    """What became of the damaged files.

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

    Args:
        folder: Where each file is written in turn.
        seed: Decides every file.
        cases: Number of files.
        most_seconds: Processor time above which a file counts as a fault.
    """
    tally = Tally()
    small, golden = _small_originals(folder), _golden_originals()
    path = folder / "fuzzed.pth"
    for case in range(cases):
        rng = random.Random(f"{seed}/{case}")
        originals = golden if rng.random() < GOLDEN_SHARE else small
        original = originals[case % 2]
        rezipped = original.zipped and rng.random() < REZIPPED_SHARE
        path.write_bytes(_rezipped(original.data, rng) if rezipped else mutate(original.data, rng))
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
    if isinstance(value, np.ndarray):
        total.update(f"{value.dtype} {value.shape}".encode() + value.tobytes())
    elif isinstance(value, dict):
        total.update(f"{type(value)} {len(value)}".encode())
        for key, item in value.items():
            total.update(repr(key).encode())
            _feed(total, item)
    elif isinstance(value, list | tuple):
        total.update(f"{type(value)} {len(value)}".encode())
        for item in value:
            _feed(total, item)
    elif isinstance(value, OpaqueObject):
        total.update(value.class_name.encode())
        _feed(total, value.attributes)
    else:
        total.update(repr(value).encode())


def _small_originals(folder: Path) -> list[Original]:
    """A file of about 2 kB in either format that holds something of every kind."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal(24).astype(np.float32)
    halves = rng.standard_normal(6).astype(np.float16)
    storages = {"0": weights, "1": halves, "2": np.arange(3), "3": halves.view("<u2")}
    sized = {key: (data.size, data.tobytes()) for key, data in storages.items()}
    raw = {key: data.tobytes() for key, data in storages.items()}
    path, originals = folder / "original.pth", []
    for zipped in (True, False):
        pickled = torch.whole(_small_pickle(legacy=not zipped))
        write = torch.zip_checkpoint if zipped else torch.legacy_checkpoint
        data = write(pickled, raw if zipped else sized)
        path.write_bytes(data)
        originals.append(Original(data, digest(read_torch_checkpoint(path)), zipped))
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
