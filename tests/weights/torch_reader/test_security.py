"""Every malicious or damaged file is refused: at once, in little memory, and without any effect."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from t2t_keras.weights.torch_reader import read_torch_checkpoint
from tests.support.weights import malicious
from tests.support.weights.malicious_pickles import FOREIGN_GLOBALS, PROTOCOLS

ROOT = Path(__file__).parents[3]
FEWEST_FILES = 1_100
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


@pytest.fixture(scope="module")
def short_folder():
    """A folder whose path is short enough for a socket's name, also where temp folders are deep."""
    with tempfile.TemporaryDirectory(prefix="t2t") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def report(tmp_path_factory, short_folder):
    """What reading each file did, from a child process that watches itself."""
    folder = tmp_path_factory.mktemp("malicious")
    canary = folder / "canary"
    paths = []
    for index, (name, data) in enumerate(malicious.vectors(canary)):
        paths.append(folder / f"{index:04d}-{name.replace('/', '-')[:80]}.pth")
        paths[-1].write_bytes(data)
    paths += malicious.special_paths(short_folder)
    listing, result = folder / "paths.json", folder / "report.json"
    listing.write_text(json.dumps([str(path) for path in paths]))
    command = [sys.executable, "-m", "tests.support.weights.refuse_all", str(listing), str(result)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300)
    assert not canary.exists(), "a payload ran"
    entries = json.loads(result.read_text())
    assert [entry["path"] for entry in entries] == [str(path) for path in paths]
    return entries


def offenders(report, is_good):
    bad = (entry for entry in report if not is_good(entry))
    return [(Path(entry["path"]).name, entry["error"], entry["message"][:300]) for entry in bad]


def test_controls_load(tmp_path):
    for name, data in malicious.controls():
        path = tmp_path / name
        path.write_bytes(data)
        assert read_torch_checkpoint(path) is not None


def test_every_file_is_refused_quickly_and_without_any_effect(report):
    """One test, so that the files, which take half a minute, are made in one process only."""
    assert len(report) >= FEWEST_FILES
    assert not offenders(report, lambda entry: entry["error"] == "CheckpointError")
    seen = {entry["path"]: entry["events"] for entry in report if entry["events"]}
    assert not seen, "something was imported, run or opened"
    assert not offenders(report, _names_the_file_and_a_fix)
    assert not offenders(report, _is_short_and_printable)
    for module, name in FOREIGN_GLOBALS:
        spelled = [entry for entry in report if f"reduce-{module}.{ascii(name)}-p" in entry["path"]]
        assert len(spelled) == 2 * len(PROTOCOLS)
        named = ascii(f"{module}.{name}")
        assert not offenders(spelled, lambda entry, named=named: named in entry["message"])
    for key, limit in (("seconds", MOST_SECONDS), ("peak_bytes", MOST_BYTES)):
        assert not {entry["path"]: entry[key] for entry in report if entry[key] > limit}


def _names_the_file_and_a_fix(entry):
    first_line = entry["message"].split("\n")[0]
    return entry["path"] in first_line and any(fix in first_line for fix in FIXES)


def _is_short_and_printable(entry):
    return len(entry["message"]) < 1000 and entry["message"].isprintable()
