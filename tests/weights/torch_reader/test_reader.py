"""The values that `read_torch_checkpoint` returns, and the defects it names."""

import hashlib
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from t2t_keras.errors import CheckpointError
from t2t_keras.weights.torch_reader import OpaqueObject, checkpoint_defect, read_torch_checkpoint
from t2t_keras.weights.torch_reader.regular_file import RegularFile
from tests.conftest import DATA
from tests.support.weights import torch_writer as torch
from tests.support.weights.malicious_files import damaged_goldens, other_files

LEGACY = pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def file_of(folder: Path, items, storages=(), legacy: bool = False) -> Path:
    """A checkpoint whose pickle holds `items`, given as opcodes."""
    data = torch.container(torch.whole(torch.mapping(items)), dict(storages), legacy)
    return write(folder / "a.pth", data)


def digest(value: object) -> str:
    """SHA-256 over a state dict's names, dtypes, shapes and bytes."""
    total = hashlib.sha256()
    for name, array in value.items():
        total.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return total.hexdigest()


# SHA-256 of what torch.load returns for the same files.
_RAW = "be9efec83e82fe02502a4f14fbf0b84a467555b2940cd570c0db5d2261c5c825"
_EMA = "9dd24ac9e2f6d5631c7ec3d45277f6e3a1f4f89b739b2986323e08c3b64c2ae9"
_TRANSFORMER = "aff3a9b2120fb874acd370465d81487688aede37caafadeba63530eded5a1d1d"
_HALF = "c5a2847208b266362a0fad0a01cd6c550b2bc37c767113227c5da6ba4de9dbee"
_CIFAR = "3aa70182c5e5c4f7c4c8a19e7c361b96cea44071beca9ccddc66a8f9bfbdc6e7"
_TRAJECTORY = "3c1bf3cba58061e45f9dd96097fa5592596e1bac62f1fff2d3afd9b712d4b17c"
GOLDEN_DIGESTS = [
    ("tiny_performer.pth.tar", "state_dict", _RAW),
    ("tiny_performer.pth.tar", "state_dict_ema", _EMA),
    ("tiny_performer_legacy.pth.tar", "state_dict", _RAW),
    ("tiny_performer_legacy.pth.tar", "state_dict_ema", _EMA),
    ("tiny_transformer.pth.tar", "state_dict_ema", _TRANSFORMER),
    ("tiny_transformer_half.pth.tar", "state_dict_ema", _HALF),
    ("tiny_cifar_layout.pth", "net", _CIFAR),
    ("tiny_bare_state_dict.pth", "", _EMA),
    ("trajectory_start.pth", "state_dict", _TRAJECTORY),
]


@pytest.mark.parametrize("name, key, expected", GOLDEN_DIGESTS)
def test_golden_state_dict_is_bit_equal_to_what_torch_loads(name, key, expected):
    value = read_torch_checkpoint(DATA / name)
    assert digest(value[key] if key else value) == expected


def test_training_checkpoint_keeps_what_stands_beside_the_weights():
    files = ("tiny_performer.pth.tar", "tiny_performer_legacy.pth.tar")
    new, old = (read_torch_checkpoint(DATA / name) for name in files)
    for value in (new, old):
        assert {"state_dict", "optimizer", "args", "epoch", "arch"} <= value.keys()
        assert type(value["epoch"]) is int and type(value["arch"]) is str
        assert type(value["args"]) is OpaqueObject
        assert value["args"].class_name == "argparse.Namespace"
        assert value["args"].attributes["model"] == value["arch"]
        assert value["optimizer"]["param_groups"][0]["params"]
    assert new["args"].attributes == old["args"].attributes


@LEGACY
@pytest.mark.parametrize("dtype", sorted(torch.STORAGE_NAMES))
def test_dtypes_are_kept(tmp_path, dtype, legacy):
    arrays = {"a": (np.arange(6).reshape(2, 3) % 2).astype(dtype), "scalar": np.ones((), dtype)}
    value = read_torch_checkpoint(write(tmp_path / "a.pth", torch.checkpoint(arrays, legacy)))
    assert digest(value) == digest(arrays)


@LEGACY
def test_bfloat16_becomes_float32(tmp_path, legacy):
    expected = np.arange(300_000, dtype=np.float32).view(np.uint32) & 0xFFFF0000
    stored = (expected >> 16).astype("<u2")
    source = torch.storage("0", stored.size, "BFloat16Storage", legacy)
    items = {"a": torch.tensor(source, [stored.size], [1])}
    value = read_torch_checkpoint(file_of(tmp_path, items, {"0": stored}, legacy))
    assert value["a"].dtype == np.float32
    assert value["a"].tobytes() == expected.tobytes()


@LEGACY
def test_tensors_may_share_a_storage_and_lie_in_any_order(tmp_path, legacy):
    data = np.arange(24, dtype=np.float32)
    source = torch.storage("7", 24, legacy=legacy)
    items = {
        "whole": torch.tensor(source, [2, 3, 4], [12, 4, 1]),
        "transposed": torch.tensor(source, [4, 3, 2], [1, 4, 12]),
        "row": torch.tensor(source, [4], [1], offset=8),
        "expanded": torch.tensor(source, [5, 2], [0, 1]),
        "empty": torch.tensor(source, [0, 4], [4, 1]),
        "scalar": torch.tensor(source, [], [], offset=23),
    }
    value = read_torch_checkpoint(file_of(tmp_path, items, {"7": data}, legacy))
    cube = data.reshape(2, 3, 4)
    np.testing.assert_array_equal(value["whole"], cube)
    np.testing.assert_array_equal(value["transposed"], cube.T)
    np.testing.assert_array_equal(value["row"], cube[0, 2])
    np.testing.assert_array_equal(value["expanded"], np.tile(data[:2], (5, 1)))
    assert value["empty"].shape == (0, 4)
    assert value["scalar"].shape == () and value["scalar"] == 23
    assert np.shares_memory(value["whole"], value["row"])
    assert not any(array.flags.writeable for array in value.values())


def test_numpy_scalars_sizes_and_parameters_load(tmp_path):
    text = (torch.text("\x00" * 7 + "@"), torch.text("latin1"))
    encoded = torch.call(torch.named("_codecs", "encode"), *text)
    dtype = torch.call(torch.named("numpy", "dtype"), torch.text("f8"), b"\x89", b"\x88")
    dtype += torch.group(torch.number(3), torch.text("<"), b"N") + b"b"
    one = torch.tensor(torch.storage("0", 1), [1], [1])
    hooks = torch.call(torch.named("collections", "OrderedDict"))
    rebuild = torch.named("torch._utils", "_rebuild_parameter")
    items = {
        "scalar": torch.call(torch.named("numpy.core.multiarray", "scalar"), dtype, encoded),
        "size": torch.call(torch.named("torch", "Size"), torch.numbers([2, 3])),
        "parameter": torch.call(rebuild, one, b"\x88", hooks),
    }
    value = read_torch_checkpoint(file_of(tmp_path, items, {"0": np.ones(1, np.float32)}))
    assert value["scalar"] == np.float64(2.0) and value["size"] == (2, 3)
    np.testing.assert_array_equal(value["parameter"], [1.0])


def test_sha256_is_verified_first(tmp_path):
    file = write(tmp_path / "a.pth", torch.checkpoint({"a": np.ones(3, np.float32)}))
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    assert read_torch_checkpoint(file, sha256=found.upper())["a"].sum() == 3
    message = f"a.pth: its SHA-256 is {found}, expected {'0' * 64}"
    with pytest.raises(CheckpointError, match=message):
        read_torch_checkpoint(file, sha256="0" * 64)
    write(file, b"<html>")
    with pytest.raises(CheckpointError, match="SHA-256"):
        read_torch_checkpoint(file, sha256=found)
    with pytest.raises(ValueError, match="`sha256` must be 64 hexa.* Received: sha256=abc"):
        read_torch_checkpoint(file, sha256="abc")


def test_records_without_checksum_need_the_sha256(tmp_path):
    entries = torch.zip_entries(torch.whole(b"}"), {})
    file = write(tmp_path / "a.pth", torch.zip_archive(entries))
    assert read_torch_checkpoint(file) == {}
    for entry in entries:
        entry.crc = 0
    write(file, torch.zip_archive(entries))
    with pytest.raises(CheckpointError, match="no checksum.*Give the file's SHA-256"):
        read_torch_checkpoint(file)
    assert read_torch_checkpoint(file, hashlib.sha256(file.read_bytes()).hexdigest()) == {}


@pytest.mark.parametrize(
    "kind, dtype",
    [("CharStorage", "int8"), ("ComplexFloatStorage", "complex64"), ("QInt8Storage", "quantized")],
)
@LEGACY
def test_unread_dtypes_are_named_with_their_tensor(tmp_path, kind, dtype, legacy):
    items = {"blocks.0.w": torch.tensor(torch.storage("0", 4, kind, legacy), [4], [1])}
    file = file_of(tmp_path, items, {"0": np.zeros(4, np.int8)}, legacy)
    with pytest.raises(CheckpointError, match=f"near 'blocks.0.w': .*{re.escape(dtype)}"):
        read_torch_checkpoint(file)


@pytest.mark.parametrize("kind, width", [("FloatStorage", 4), ("BFloat16Storage", 2)])
@LEGACY
def test_memory_beyond_the_tensors_stays_small(tmp_path, kind, width, legacy):
    numel = 8 << 20
    items = {"a": torch.tensor(torch.storage("0", numel, kind, legacy), [numel], [1])}
    file = file_of(tmp_path, items, {"0": np.zeros(numel, f"<u{width}")}, legacy)
    tracemalloc.start()
    value = read_torch_checkpoint(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < value["a"].nbytes + (16 << 20)


@LEGACY
def test_a_training_checkpoint_of_the_largest_variant_fits_the_limits(tmp_path, legacy):
    arrays = {f"blocks.{index}.attn.proj.weight": np.ones(1, np.float32) for index in range(4000)}
    value = read_torch_checkpoint(write(tmp_path / "a.pth", torch.checkpoint(arrays, legacy)))
    assert list(value) == list(arrays)


def test_a_path_that_cannot_be_printed_is_escaped(tmp_path):
    file = write(tmp_path / "a\nb.pth", b"")
    with pytest.raises(CheckpointError, match=r"a\\nb.pth': it is empty. Delete the file"):
        read_torch_checkpoint(file)


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    file = write(tmp_path / "a.pth", torch.checkpoint({"a": np.ones(3, np.float32)}, legacy=True))
    read_into = RegularFile.read_into

    def read_and_grow(self, offset, buffer):
        read_into(self, offset, buffer)
        with file.open("ab") as other:
            other.write(b"x")

    monkeypatch.setattr(RegularFile, "read_into", read_and_grow)
    with pytest.raises(CheckpointError, match="changed while it was read"):
        read_torch_checkpoint(file)


def test_every_golden_file_is_in_the_digests_and_whole():
    files = sorted(path.name for path in DATA.glob("*.pth*"))
    assert files == sorted({name for name, _, _ in GOLDEN_DIGESTS})
    assert [checkpoint_defect(DATA / name) for name in files] == [None] * len(files)


DEFECTS = {
    "empty": "it is empty",
    "html-indented": "HTML",
    "git-lfs": "a git-lfs pointer",
    "gzip": "it is not a PyTorch checkpoint (it looks like a compressed file, to be unpacked)",
    "start": "cut off",
}


def test_damaged_and_other_files_have_a_defect_that_is_named(tmp_path):
    cases = {**damaged_goldens(), **other_files(), "start": b"PK\x03\x04"}
    for name, data in cases.items():
        expected = "damaged" if name.startswith("flip-") else DEFECTS.get(name, "")
        defect = checkpoint_defect(write(tmp_path / "file", data))
        assert defect and expected in defect, name
    assert sum(name.startswith("flip-") for name in cases) == 69
    assert "a directory" in checkpoint_defect(tmp_path)
