"""Malicious and damaged files are refused: at once, in little memory, and without any effect."""

import os
import socket
import tempfile
from pathlib import Path

import pytest

from t2t_keras.weights.torch_reader import read_torch_checkpoint
from tests.support.processes import run_alone
from tests.support.weights import malicious_files as files
from tests.support.weights import torch_writer as torch
from tests.support.weights.fuzzing import fuzz
from tests.support.weights.malicious_pickles import FOREIGN_GLOBALS, PROTOCOLS, pickles
from tests.support.weights.refuse_all import read_all

FEWEST_FILES = 1_100
FUZZED_FILES = 10_000  # benchmarks/fuzz_torch_reader.py reads more of the same
MOST_SECONDS = 2.0
MOST_BYTES = 64 << 20
FIXES = (
    "download it again",
    "Do not use the file unless you trust its source",
    "save it again",
    "save the checkpoint again",
    "Save it again",
    "Save plain float32 tensors",
    "Save `model.state_dict()`",
    "save only `model.state_dict()`",
    "Give the",
    "Check the path",
    "Load it in PyTorch",
)


def vectors(canary: Path) -> torch.Vectors:
    """A name and bytes of each file; a payload that ran would leave the file `canary`."""
    for name, pickled in pickles(canary):
        for kind, data in torch.in_both_formats(pickled).items():
            yield f"{name}-{kind}", data
    for kind, cases in (
        ("zip", files.broken_zips()),
        ("legacy", files.broken_streams()),
        ("other", files.other_files()),
        ("golden", files.damaged_goldens()),
    ):
        for name, data in cases.items():
            yield f"{kind}-{name}", data


def special_paths(folder: Path) -> list[Path]:
    """Paths that are no regular file: made in `folder`, which must be short for the socket."""
    os.mkfifo(folder / "pipe.pth")
    for name, target in (("loop", "loop.pth"), ("dangling", "nothing"), ("linked", "pipe.pth")):
        (folder / f"{name}.pth").symlink_to(folder / target)
    (folder / "folder.pth").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s.pth"))
    with (folder / "sparse-8-GiB.pth").open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(2**33)
    devices = [Path("/dev", name) for name in ("zero", "null", "tty")]
    return [*folder.iterdir(), folder / "missing.pth", *devices]


@pytest.fixture(scope="module")
def short_folder():
    """A folder whose path is short enough for a socket's name, also where temp folders are deep."""
    with tempfile.TemporaryDirectory(prefix="t2t") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def report(tmp_path_factory, short_folder):
    """The effects of reading each file, from a child process that watches itself."""
    folder = tmp_path_factory.mktemp("malicious")
    canary = folder / "canary"
    paths = []
    for index, (name, data) in enumerate(vectors(canary)):
        paths.append(folder / f"{index:04d}-{name.replace('/', '-')[:80]}.pth")
        paths[-1].write_bytes(data)
        os.utime(paths[-1], (0, 0))  # or the reader would ask who writes to it
    paths += special_paths(short_folder)
    entries = run_alone(read_all, [str(path) for path in paths], seconds=300)
    assert not canary.exists(), "a payload ran"
    assert [entry["path"] for entry in entries] == [str(path) for path in paths]
    return entries


def offenders(report, is_good):
    bad = (entry for entry in report if not is_good(entry))
    return [(Path(entry["path"]).name, entry["error"], entry["message"][:300]) for entry in bad]


def test_files_built_by_the_same_means_load(tmp_path):
    one = torch.tensor(torch.storage("0", 4), [4], [1])
    pickled = [torch.whole(one, protocol) for protocol in PROTOCOLS]
    for control in (*pickled, torch.whole(torch.mapping({"a": b"N"}))):
        for kind, data in torch.in_both_formats(control).items():
            (tmp_path / kind).write_bytes(data)
            assert read_torch_checkpoint(tmp_path / kind) is not None


def test_every_file_is_refused_quickly_and_without_any_effect(report):
    """One test, so that the files, which take half a minute, are made in one process only."""
    assert len(report) >= FEWEST_FILES
    assert not offenders(report, lambda entry: entry["error"] == "CheckpointError")
    seen = {entry["path"]: entry["events"] for entry in report if entry["events"]}
    assert not seen, "something was imported, run or opened"
    assert not offenders(report, _is_short_and_names_the_file_and_a_fix)
    for module, name in FOREIGN_GLOBALS:
        spelled = [entry for entry in report if f"reduce-{module}.{ascii(name)}-p" in entry["path"]]
        assert len(spelled) == 2 * len(PROTOCOLS)
        named = ascii(f"{module}.{name}")
        assert not offenders(spelled, lambda entry, named=named: named in entry["message"])
    for key, limit in (("seconds", MOST_SECONDS), ("peak_bytes", MOST_BYTES)):
        assert not {entry["path"]: entry[key] for entry in report if entry[key] > limit}


def _is_short_and_names_the_file_and_a_fix(entry):
    said = entry["message"]  # without a line break, which is not printable
    named = entry["path"] in said and any(fix in said for fix in FIXES)
    return named and len(said) < 1000 and said.isprintable()


def test_files_with_random_damage_are_refused_or_load_unchanged(tmp_path):
    tally = fuzz(tmp_path, seed=0, cases=FUZZED_FILES, most_seconds=MOST_SECONDS)
    assert not tally.faults
    assert tally.outcomes.total() == FUZZED_FILES
    assert tally.outcomes["refused"] > FUZZED_FILES // 2
    assert tally.outcomes["same"] and tally.outcomes["different"]
