"""`weights=`: every kind of file, whole or not at all, and files that are not what they say."""

import os
import shutil
import sys
import threading
import time
import zipfile
from pathlib import Path
from unittest.mock import Mock

import h5py
import keras
import numpy as np
import pytest

from t2t_keras import CheckpointError, DownloadError, T2TViT, create_model, load_official_checkpoint
from t2t_keras.cli.evaluate import evaluation_config
from t2t_keras.cli.main import main
from t2t_keras.cli.models import open_model, read_labels
from t2t_keras.data.inspection import check_images
from t2t_keras.errors import DataError, ResumeError
from t2t_keras.files import digest_of, digest_record, locked, write_text
from t2t_keras.models.t2t_vit import dtype_scope
from t2t_keras.training import make_config
from t2t_keras.training.checkpoint.store import read_checkpoint
from t2t_keras.training.linear_probe import cached_features
from t2t_keras.training.model import load_run_weights
from t2t_keras.training.run_directory import lock_run_directory, settings_in
from t2t_keras.weights import load
from t2t_keras.weights.convert import write_model
from t2t_keras.weights.download import fetch_release, weights_dir
from t2t_keras.weights.formats import read_metadata, read_safetensors
from t2t_keras.weights.mapping import official_state
from t2t_keras.weights.releases import RELEASES_URL
from tests.conftest import DATA
from tests.support.tiny import tiny_model, tiny_variant
from tests.support.weights.release_server import NOWHERE
from tests.support.weights.torch_writer import checkpoint

SUFFIXES = [".weights.h5", ".keras", ".safetensors"]
OFFICIAL = DATA / "tiny_performer.pth.tar"
TABLE, HEAD = "layers/position_table/vars/0", "layers/dense/vars/0"
GRID = "layers/position_table/vars/grid_size"


@pytest.fixture(scope="module")
def loaded():
    model = tiny_model()
    load_official_checkpoint(model, OFFICIAL)
    return model


@pytest.fixture(scope="module")
def written(loaded, tmp_path_factory):
    """Suffix -> a file of that kind, of the same weights."""
    folder = tmp_path_factory.mktemp("written")
    for suffix in SUFFIXES:
        write_model(loaded, folder / f"tiny{suffix}")
    shutil.copy(DATA / "tiny_bare_state_dict.pth", folder / "tiny.pth")
    return {suffix: folder / f"tiny{suffix}" for suffix in (*SUFFIXES, ".pth")}


def _nested(file, other):
    group = file
    for _ in range(3000):
        group = group.create_group("g")


def _in_another_file(file, other):
    del file[GRID]
    file.create_dataset(GRID, (2,), "int64", external=[(str(other), 0, 16)])


def _virtual(file, other):
    layout = h5py.VirtualLayout((2,), "int64")
    layout[:] = h5py.VirtualSource(other, "secret", (2,))
    del file[GRID]
    file.create_virtual_dataset(GRID, layout)


def _linked(file, other):
    del file[GRID]
    file[GRID] = h5py.ExternalLink(other, "secret")


def _cyclic(file, other):
    file["layers/again"] = file["layers"]


@pytest.mark.parametrize("spoil", [_nested, _in_another_file, _virtual, _linked, _cyclic])
def test_a_keras_file_reads_no_other_file_and_none_without_end(spoil, written, tmp_path):
    path, other = tmp_path / "spoilt.weights.h5", tmp_path / "other.h5"
    shutil.copy(written[".weights.h5"], path)
    with h5py.File(other, "w") as file:
        file["secret"] = np.array([4, 4])
    with h5py.File(path, "a") as file:
        spoil(file, other)
    model, start = tiny_model(), time.monotonic()
    with pytest.raises(CheckpointError, match=r"kept elsewhere|lies deeper than Keras"):
        load.load_weights(model, path, tiny_variant("performer"), None)
    assert time.monotonic() - start < 5


TORCH = b'{"module": "keras.layers", "class_name": "TorchModuleWrapper", "config": {"module": "x"}}'


@pytest.mark.parametrize("spoiled", [b"{", b'{"a":' * 100_000, b"[" * 100_000, TORCH, 8, 14])
def test_a_damaged_config_in_a_keras_file_is_a_checkpoint_error(spoiled, written, tmp_path):
    path = tmp_path / "spoilt.keras"
    with zipfile.ZipFile(written[".keras"]) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name != "config.json":
                new.writestr(name, data)
            elif isinstance(spoiled, bytes):
                new.writestr(name, spoiled)
            else:  # compressed by deflate or LZMA
                new.writestr(name, data, spoiled)
                start = new.getinfo(name).header_offset + 40 + len(name)
    if isinstance(spoiled, int):
        content = bytearray(path.read_bytes())
        content[start : start + 40] = b"\xff" * 40
        path.write_bytes(content)
    with pytest.raises(CheckpointError):
        open_model(str(path))


def test_a_pipe_is_refused_where_a_file_is_opened(tmp_path):
    for name in ("labels", "model.lock", "step-00000001.safetensors", "settings.json"):
        os.mkfifo(tmp_path / name)
    for name in ("features.npz", "inspection.json", ".lock-holder", "m.keras", "m.safetensors"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="not a regular file"):
        read_labels(str(tmp_path / "labels"))
    with pytest.raises(OSError, match="not a regular file"), locked(tmp_path / "model"):
        pass
    with pytest.raises(CheckpointError, match="not a regular file"):
        read_checkpoint(tmp_path / "step-00000001.safetensors")
    with pytest.raises(ResumeError, match="not a regular file"):
        settings_in(tmp_path)
    with pytest.raises(DataError, match="not a regular file"):
        cached_features(None, None, None, tmp_path, None, "")
    with pytest.raises(OSError, match="not a regular file"), lock_run_directory(tmp_path):
        pass
    for opened in (digest_of, lambda path: write_text(path, "")):
        with pytest.raises(OSError, match="not a regular file"):
            opened(tmp_path / "labels")
    with pytest.raises(CheckpointError, match="not a regular file"):
        read_metadata(tmp_path / "m.keras")
    with pytest.raises(CheckpointError, match="it is a named pipe"):
        read_safetensors(tmp_path / "m.safetensors")
    check_images({}, ("a",), "stop", 0.0, tmp_path)  # it warns, and looks at the images again


@pytest.mark.skipif(sys.platform != "linux", reason="nothing else tells who writes to a file")
@pytest.mark.parametrize("suffix", [".weights.h5", ".safetensors", ".pth.tar"])
def test_a_file_that_is_half_rewritten_is_refused(suffix, loaded, written, tmp_path):
    source = written.get(suffix, DATA / "tiny_performer_legacy.pth.tar")
    path, content = Path(shutil.copy(source, tmp_path / f"file{suffix}")), source.read_bytes()
    with open(path, "r+b", buffering=0) as file:
        file.write(content[:1000])

        def finish():
            file.write(content[1000:])
            file.close()

        later = threading.Timer(0.1, finish)
        later.start()
        with pytest.raises(CheckpointError, match="it changed while it was read"):
            load.load_weights(loaded, path, tiny_variant("performer"), None)
        later.join()
    load.load_weights(loaded, path, tiny_variant("performer"), None)


@pytest.fixture
def two(loaded, tmp_path):
    """A Lightning checkpoint of a student and a teacher, the teacher with zeros in its head."""
    state = official_state(loaded)
    teacher = {**state, "head.weight": np.zeros_like(state["head.weight"])}
    arrays = {f"student._orig_mod.{key}": array for key, array in state.items()}
    arrays |= {f"teacher.module.{key}": array for key, array in teacher.items()}
    path = tmp_path / "last.ckpt"
    path.write_bytes(checkpoint({**arrays, "teacher.n_averaged": np.array([3])}))
    return path


def test_a_checkpoint_of_two_models_needs_a_key(two, loaded, written):
    with pytest.raises(CheckpointError, match="'student', 'teacher'.*`weights_key`"):
        tiny_model(weights=two)
    _assert_same(tiny_model(weights=two, weights_key="student"), loaded)
    assert not tiny_model(weights=two, weights_key="teacher").get_weights()[-2].any()
    for weights in (None, written[".keras"], written[".weights.h5"]):
        with pytest.raises(ValueError, match="`weights_key` must be left out unless"):
            tiny_model(weights=weights, weights_key="student")


def test_every_command_picks_a_state_dict_of_a_checkpoint(two, loaded, tmp_path):
    for name in ("student", "teacher"):
        opened = open_model(str(two), num_heads=2, weights_key=name).model
        assert opened.get_weights()[-2].any() == (name == "student")
        target = tmp_path / f"{name}.keras"
        line = f"convert --source={two} --target={target} --num_heads=2 --weights_key={name}"
        assert main(line.split()) == 0
        np.testing.assert_equal(tiny_model(weights=target).get_weights(), opened.get_weights())
    variant, given = tiny_variant("performer"), {"weights": str(two), "weights_key": "student"}
    config = make_config(dataset="digits", model=variant, image_size=(64, 64), **given)
    model = tiny_model()
    load_run_weights(model, config, complete=True)
    _assert_same(model, loaded)
    assert evaluation_config({**vars(config)})[0].weights_key == "student"
    with pytest.raises(ValueError, match="`weights_key` must be left out unless"):
        open_model(str(target), weights_key="student")


def _assert_same(model, other):
    np.testing.assert_equal(model.get_weights(), other.get_weights())


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".pth"])
def test_every_kind_comes_back_whatever_the_classes_size_and_top(suffix, loaded, written):
    path = written[suffix]
    _assert_same(tiny_model(weights=path), loaded)
    model = tiny_model(weights=path, classes=3, input_shape=(96, 80, 3))
    expected = tiny_model(input_shape=(96, 80, 3), weights=OFFICIAL)
    for name, other in (("position_table", expected), ("project", loaded)):
        ours, theirs = (each.get_layer(name).get_weights()[0] for each in (model, other))
        np.testing.assert_array_equal(ours, theirs)
    features = tiny_model(weights=path, include_top=False, pooling="avg")
    assert features.output_shape == (None, 32)


def test_soft_splits_that_keep_no_size_come_back(tmp_path):
    variant = tiny_variant(soft_splits=((7, 4, 0), (3, 2, 0), (3, 2, 0)))
    model = T2TViT(variant, weights=None, classes=4)
    write_model(model, tmp_path / "own.weights.h5")
    _assert_same(T2TViT(variant, weights=tmp_path / "own.weights.h5", classes=4), model)


DAMAGES = {
    "cut": lambda contents: contents[: len(contents) // 2],
    "empty": lambda contents: b"",
    "html": lambda contents: b"<!DOCTYPE html><html><body>Not found</body></html>",
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("suffix", [*SUFFIXES, ".pth"])
def test_damaged_file_is_named(suffix, damage, written, tmp_path):
    path = tmp_path / f"tiny{suffix}"
    path.write_bytes(DAMAGES[damage](written[suffix].read_bytes()))
    with pytest.raises(CheckpointError, match=str(path)):
        tiny_model(weights=path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_file_of_other_sizes_is_refused(suffix, written):
    with pytest.raises(CheckpointError, match=str(written[suffix])) as caught:
        T2TViT(tiny_variant(embed_dim=64), weights=written[suffix], classes=10)
    if suffix == ".safetensors":
        assert "those of no published T2T-ViT" in str(caught.value)


def test_architecture_in_a_keras_file_is_never_run(loaded, written, tmp_path):
    """Only arrays are taken: the model's description may say anything."""
    path = tmp_path / "tiny.keras"
    with zipfile.ZipFile(written[".keras"]) as source, zipfile.ZipFile(path, "w") as target:
        target.writestr("config.json", '{"module": "os", "class_name": "system"}')
        target.writestr("model.weights.h5", source.read("model.weights.h5"))
    _assert_same(tiny_model(weights=path), loaded)


def test_values_that_are_not_finite_are_refused(tmp_path):
    model, path = tiny_model(), tmp_path / "nan.weights.h5"
    model.get_layer("head").bias.assign(np.full(10, np.nan))
    write_model(model, path)
    with pytest.raises(CheckpointError, match="'head.bias' holds values that are not finite"):
        tiny_model(weights=path)


@pytest.mark.parametrize(
    "weights", [True, 1, b"tiny.pth", ["tiny.pth"], "missing.weights.h5", "imagenet21k"]
)
def test_weights_that_are_no_file_or_release_are_that_value_error(weights):
    with pytest.raises(ValueError, match="The `weights` argument should be either.*Received: wei"):
        create_model("t2t_vit_7", weights=weights)
    with pytest.raises(ValueError, match="needs a published variant"):
        tiny_model(weights="imagenet")
    with pytest.raises(ValueError, match="t2t_vit_14_se.*t2t_vit_7"):
        create_model("t2t_vit_14_se")


@pytest.mark.parametrize("name", ["mixed_bfloat16", "bfloat16"])
def test_half_precision_models_take_and_give_weights(name, loaded, written, tmp_path):
    path = tmp_path / "half.weights.h5"
    with dtype_scope(name):
        half = tiny_model(weights=written[".weights.h5"])
        half.save_weights(path)
    if name == "mixed_bfloat16":
        _assert_same(half, loaded)
    expected = keras.ops.convert_to_numpy(half.get_layer("head").kernel).astype("float32")
    again = tiny_model(weights=path).get_layer("head").get_weights()[0]
    np.testing.assert_array_equal(again, expected)


# Keras files that lie.


@pytest.fixture
def no_twin(monkeypatch):
    """Fails where a model is built from what a file says."""
    monkeypatch.setattr(load, "classifier", lambda *_: pytest.fail("a model was built"))


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        (HEAD, {"shape": (0, 10**9), "dtype": "f4"}),
        (HEAD, {"shape": (10**9, 0), "dtype": "f4"}),
        (HEAD, {"shape": (31, 10), "dtype": "f4"}),
        (HEAD, {"shape": (320,), "dtype": "f4"}),
        (HEAD, {"shape": (), "dtype": "f4"}),
        (HEAD, {"shape": (32, 2000), "dtype": "i1"}),
        (HEAD, {"shape": (32, 2000), "dtype": "?"}),
        (HEAD, {"dtype": h5py.Empty("f4").dtype, "data": h5py.Empty("f4")}),
        (HEAD, {"shape": (32, 10), "dtype": h5py.string_dtype()}),
        (TABLE, {"shape": (1, 10**9 + 1, 0), "dtype": "f4"}),
        (TABLE, {"shape": (1, 0, 32), "dtype": "f4"}),
        (TABLE, {"shape": (1, 1, 32), "dtype": "f4"}),
        (TABLE, {"shape": (2, 17, 32), "dtype": "f4"}),
        (TABLE, {"shape": (1, 18, 32), "dtype": "f4"}),
        (TABLE, {"shape": (1, 1025, 32), "dtype": "u1"}),
        (GRID, {"data": np.array([10**9, 0])}),
        (GRID, {"data": np.array([-4, -4])}),
        (GRID, {"data": np.array([5, 5])}),
        (GRID, {"data": np.array([4])}),
    ],
    ids=str,
)
def test_shapes_are_checked_before_a_model_is_built(name, dataset, written, tmp_path, no_twin):
    path = tmp_path / "changed.weights.h5"
    shutil.copy(written[".weights.h5"], path)
    with h5py.File(path, "r+") as file:
        del file[name]
        file.create_dataset(name, **dataset)
    with pytest.raises(CheckpointError, match=f"^{path}: (has .* expected|its position table)"):
        tiny_model(weights=path)


def test_arrays_larger_than_their_file_are_refused(tmp_path, no_twin):
    path = tmp_path / "bomb.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset(TABLE, (1, 1 << 20, 1 << 10), chunks=(1, 1, 1 << 10))
    with pytest.raises(CheckpointError, match="declares arrays larger than the file"):
        tiny_model(weights=path)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_weights_are_refused_whatever_they_unpack_to(method, tmp_path):
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("model.weights.h5", bytes(1 << 20))
    packed = bytearray(path.read_bytes())
    packed[60:80] = bytes(20)  # the packed bytes are damaged as well
    path.write_bytes(packed)
    with pytest.raises(CheckpointError, match="its weights are compressed"):
        tiny_model(weights=path)


def test_a_zip_that_promises_more_than_it_holds_is_damaged(written, tmp_path):
    path = tmp_path / "cut.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", written[".weights.h5"].read_bytes())
    contents = bytearray(path.read_bytes())
    at = contents.rindex(b"PK\x01\x02") + 20
    contents[at : at + 8] = 2 * (10**9).to_bytes(4, "little")  # both sizes in the directory
    path.write_bytes(contents)
    with pytest.raises(CheckpointError, match=f"^{path}: cannot be loaded: it is damaged"):
        tiny_model(weights=path)


def test_too_little_memory_is_an_error_of_the_file(written, monkeypatch):
    monkeypatch.setattr(load, "classifier", Mock(side_effect=MemoryError))
    path = written[".weights.h5"]
    with pytest.raises(CheckpointError, match=f"^{path}: cannot be loaded"):
        tiny_model(weights=path)


# `weights="imagenet"`, from files placed in the cache; nothing is fetched.

SMALL, LARGE_IMAGES = "71.7_T2T_ViT_7.pth.tar", "83.3_T2T_ViT_14.pth.tar"
MARK = 0.25


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty cache, and no network."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(load, "fetch_release", lambda release: fetch_release(release, NOWHERE))


def _place(golden, name, filename, **shapes) -> Path:
    """Writes a checkpoint of a published variant, all its numbers `MARK`, as a release."""
    path = weights_dir() / filename
    path.parent.mkdir(parents=True, exist_ok=True)
    named = {**dict(golden[name]["state_dict"]), **shapes}
    path.write_bytes(checkpoint({key: np.full(shape, MARK, "f4") for key, shape in named.items()}))
    return path


def _is_marked(model) -> bool:
    return all((weight == MARK).all() for weight in model.get_weights())


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("t2t_vit_10", {}),
        ("t2t_vit_7", {"head.weight": (10, 256), "head.bias": (10,)}),
        ("t2t_vit_7", {"pos_embed": (1, 101, 256)}),
    ],
    ids=["another variant", "other classes", "another image size"],
)
def test_another_file_of_that_name_is_a_download_error_with_a_way_out(name, shapes, golden, home):
    path = _place(golden, name, SMALL, **shapes)
    with pytest.raises(DownloadError) as caught:
        create_model("t2t_vit_7")
    message = str(caught.value)
    assert message.startswith(f"{path}: is not the t2t_vit_7 for 224 pixels and 1000 classes")
    assert f"{RELEASES_URL}{SMALL}" in message
    assert f"Delete it and {digest_record(path)}" in message
    # That is a way out.
    path.unlink()
    digest_record(path).unlink()
    _place(golden, "t2t_vit_7", SMALL)
    assert _is_marked(create_model("t2t_vit_7"))


def test_the_release_for_large_images_is_chosen_by_the_images_the_model_gets(golden, home):
    """Not by what it is called on, where `input_tensor` was computed from that."""
    _place(golden, "t2t_vit_14_384", LARGE_IMAGES)
    assert _is_marked(create_model("t2t_vit_14", input_shape=(384, 384, 3)))
    images = keras.Input((None, None, 3))
    resized = keras.layers.Resizing(384, 384)(images)
    assert _is_marked(create_model("t2t_vit_14", input_tensor=resized))
    with pytest.raises(DownloadError, match="81.5_T2T_ViT_14.pth.tar could not be fetched"):
        create_model("t2t_vit_14", input_shape=(None, None, 3))
