import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from t2t_keras.weights.torch_reader import checkpoint_defect

DATA = Path(__file__).parents[1] / "goldens"
ZIP = DATA / "tiny_transformer_half.pth.tar"
LEGACY = DATA / "tiny_performer_legacy.pth.tar"


@pytest.mark.parametrize("path", sorted(DATA.glob("*.pth*")), ids=lambda path: path.name)
def test_every_layout_of_a_checkpoint_is_whole(path):
    assert checkpoint_defect(path) is None


@pytest.mark.parametrize("whole", [ZIP, LEGACY], ids=["zip", "older format"])
def test_a_file_cut_anywhere_is_noticed(tmp_path, whole):
    whole = whole.read_bytes()
    path = tmp_path / "cut"
    for cut in np.random.default_rng(0).integers(0, len(whole), 50):
        path.write_bytes(whole[:cut])
        assert checkpoint_defect(path), cut


def test_one_flipped_bit_in_any_record_is_noticed(tmp_path):
    whole = ZIP.read_bytes()
    path = tmp_path / "flipped"
    with zipfile.ZipFile(ZIP) as archive:
        entries = [entry for entry in archive.infolist() if entry.file_size]
    for entry in entries:
        lengths = struct.unpack_from("<2H", whole, entry.header_offset + 26)
        at = entry.header_offset + 30 + sum(lengths) + entry.file_size // 2
        flipped = bytearray(whole)
        flipped[at] ^= 1
        path.write_bytes(flipped)
        assert "damaged" in checkpoint_defect(path), entry.filename


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"\n <!DOCTYPE html><html>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\n", "not a PyTorch checkpoint"),
        (b"\x1f\x8b\x08\x00", "not a PyTorch checkpoint"),
        (b"PK\x03\x04", "cut off"),
        (b"\x80\x02}.", "it "),
    ],
)
def test_other_files_are_named(tmp_path, content, expected):
    (tmp_path / "file").write_bytes(content)
    assert expected in checkpoint_defect(tmp_path / "file")


def test_a_folder_is_refused(tmp_path):
    assert "directory" in checkpoint_defect(tmp_path)
