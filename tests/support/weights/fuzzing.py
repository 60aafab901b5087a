"""Damaged copies of good checkpoints: random changes of bytes, and the reader's answer to each."""

import collections
import dataclasses
import io
import os
import pickle
import random
import time
import zipfile
from pathlib import Path

import numpy as np

from t2t_keras.errors import CheckpointError
from t2t_keras.weights.torch_reader import read_torch_checkpoint
from tests.support.mutation import mutate
from tests.support.weights import torch_writer as torch
from tests.support.weights.malicious_files import LEGACY_GOLDEN, ZIP_GOLDEN

GOLDEN_SHARE = 0.05
REZIPPED_SHARE = 0.3


@dataclasses.dataclass
class Tally:
    """The reader's answers: files "refused", loaded "same" or "different", and broken promises."""

    outcomes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    faults: list[str] = dataclasses.field(default_factory=list)
    slowest: float = 0.0  # seconds of processor time that one file took at most


def fuzz(folder: Path, seed: int | str, cases: int, most_seconds: float) -> Tally:
    """Reads `cases` damaged files, half of them zip files and half of them old streams.

    `folder` is where each file is written in turn, `seed` decides every file, and one that takes
    more than `most_seconds` of processor time is a fault.
    """
    path, tally = folder / "fuzzed.pth", Tally()
    originals = [_small_checkpoint(legacy=False), _small_checkpoint(legacy=True)]
    originals += [ZIP_GOLDEN.read_bytes(), LEGACY_GOLDEN.read_bytes()]
    contents = [_contents(path, data) for data in originals]
    for case in range(cases):
        rng = random.Random(f"{seed}/{case}")
        number = case % 2 + 2 * (rng.random() < GOLDEN_SHARE)
        zipped = case % 2 == 0
        rezipped = zipped and rng.random() < REZIPPED_SHARE
        mutant = (_rezipped if rezipped else mutate)(originals[number], rng)
        start = time.process_time()
        try:
            same = _contents(path, mutant) == contents[number]
            outcome = "same" if same else "different"
            if not same and zipped and not rezipped:
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


def _contents(path: Path, data: bytes) -> bytes:
    """Everything that is read from a file of the data."""
    path.write_bytes(data)
    os.utime(path, (0, 0))  # or the reader would wait for the clock
    return pickle.dumps(read_torch_checkpoint(path))


def _small_checkpoint(legacy: bool) -> bytes:
    """A file of about 2 kB that holds something of every kind."""
    halves = np.linspace(-3, 3, 6, dtype=np.float16)
    storages = {"0": np.linspace(-2, 2, 24, dtype=np.float32), "1": halves, "2": np.arange(3)}
    storages["3"] = halves.view("<u2")
    return torch.container(torch.whole(_small_pickle(legacy)), storages, legacy)


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


def _rezipped(data: bytes, rng: random.Random) -> bytes:
    """The archive with one record damaged and all its checksums right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [torch.Entry(info.filename, archive.read(info)) for info in archive.infolist()]
    pickled = next(entry for entry in entries if entry.name.endswith("data.pkl"))
    entry = pickled if rng.random() < 0.8 else rng.choice(entries)
    entry.data = mutate(entry.data, rng)
    return torch.zip_archive(entries)
