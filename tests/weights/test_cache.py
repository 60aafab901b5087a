import time

import numpy as np
import pytest

from t2t_keras.errors import CheckpointError, DownloadError
from t2t_keras.files import digest_of, digest_record
from t2t_keras.weights.download import cached_conversion, weights_dir
from tests.support.weights.processes import kill_after, pool

CONTENT = bytes(range(256)) * 400


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "official.pth.tar"
    path.write_bytes(b"official")
    return path


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


class Builder:
    """Writes CONTENT and counts how often it had to."""

    def __init__(self, content=CONTENT):
        self.content = content
        self.calls = 0

    def __call__(self, path):
        self.calls += 1
        path.write_bytes(self.content)


def build_slowly(path):
    with open(path, "wb") as file:
        for at in range(0, len(CONTENT), 5120):
            file.write(CONTENT[at : at + 5120])
            file.flush()
            time.sleep(0.025)


def build_and_log(path):
    with open(path.parent / "builds.log", "a") as log:
        log.write("built\n")
    build_slowly(path)


def convert_in_process(source, home, build, begun):
    begun.touch()
    return cached_conversion(source, "t2t_vit_14", build, "1", home)


def names(home):
    return sorted(path.name for path in weights_dir(home).iterdir())


def test_converts_once(source, home):
    build = Builder()
    path = cached_conversion(source, "t2t_vit_14", build, "1", home)
    assert path.read_bytes() == CONTENT
    assert path == cached_conversion(source, "t2t_vit_14", build, "1", home)
    assert build.calls == 1
    assert path.name == f"t2t_vit_14-{digest_of(source)[:16]}-1.weights.h5"
    assert names(home) == [path.name, f"{path.name}.lock", f"{path.name}.sha256"]


def test_default_folder_is_keras_home(source, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "elsewhere"))
    path = cached_conversion(source, "t2t_vit_14", Builder(), "1")
    assert path.parent == tmp_path / "elsewhere" / "models" / "t2t_keras"


def test_another_source_name_or_converter_is_another_file(source, home, tmp_path):
    build = Builder()
    other = tmp_path / "other"
    other.write_bytes(b"OFFICIAL")
    paths = {
        cached_conversion(source, "t2t_vit_14", build, "1", home),
        cached_conversion(other, "t2t_vit_14", build, "1", home),
        cached_conversion(source, "t2t_vit_14", build, "2", home),
        cached_conversion(source, "t2t_vit_19", build, "1", home),
    }
    assert len(paths) == build.calls == 4


@pytest.mark.parametrize("damage", ["flip", "cut", "plant", "no record", "damaged record", "gone"])
def test_a_damaged_or_planted_file_is_built_again(source, home, damage, caplog):
    build = Builder()
    path = cached_conversion(source, "t2t_vit_14", build, "1", home)
    if damage == "flip":
        path.write_bytes(CONTENT[:1000] + bytes([CONTENT[1000] ^ 4]) + CONTENT[1001:])
    elif damage == "cut":
        path.write_bytes(CONTENT[:-1])
    elif damage == "plant":
        path.write_bytes(b"\x89HDF planted")
    elif damage == "no record":
        path.write_bytes(b"\x89HDF planted")
        digest_record(path).unlink()
    elif damage == "damaged record":
        digest_record(path).write_text("0" * 64)
    else:
        path.unlink()
    path = cached_conversion(source, "t2t_vit_14", build, "1", home)
    assert (build.calls, path.read_bytes()) == (2, CONTENT)
    assert ("does not have its recorded digest" in caplog.text) == (damage != "gone")
    cached_conversion(source, "t2t_vit_14", build, "1", home)
    assert build.calls == 2


def test_a_failing_conversion_leaves_nothing_and_passes_its_error_on(source, home):
    def fail(path):
        path.write_bytes(b"half")
        raise CheckpointError("no such variant")

    with pytest.raises(CheckpointError, match="no such variant"):
        cached_conversion(source, "t2t_vit_14", fail, "1", home)
    assert [name for name in names(home) if not name.endswith(".lock")] == []


def test_a_folder_that_cannot_be_made_is_named(source, tmp_path):
    (tmp_path / "home").write_text("a file")
    with pytest.raises(DownloadError, match="KERAS_HOME") as caught:
        cached_conversion(source, "t2t_vit_14", Builder(), "1", tmp_path / "home")
    assert str(tmp_path / "home") in str(caught.value)


def test_a_missing_source_is_that_error(tmp_path, home):
    with pytest.raises(FileNotFoundError):
        cached_conversion(tmp_path / "none", "t2t_vit_14", Builder(), "1", home)


def test_eight_processes_build_once_and_all_get_the_file(source, home, tmp_path):
    with pool(8) as executor:
        jobs = [
            executor.submit(convert_in_process, source, home, build_and_log, tmp_path / str(i))
            for i in range(8)
        ]
        paths = {job.result(60) for job in jobs}
    assert len(paths) == 1
    assert paths.pop().read_bytes() == CONTENT
    assert (weights_dir(home) / "builds.log").read_text() == "built\n"


def test_a_killed_conversion_leaves_no_file_at_the_final_name(source, home, tmp_path):
    killed = 0
    for life, seconds in enumerate(np.random.default_rng(0).uniform(0, 0.2, 5)):
        cache, begun = home / str(life), tmp_path / f"begun-{life}"
        killed += kill_after(seconds, begun, convert_in_process, source, cache, build_slowly, begun)
        done = list(weights_dir(cache).glob("t2t_vit_14-*.weights.h5"))
        assert all(path.read_bytes() == CONTENT for path in done)
        path = cached_conversion(source, "t2t_vit_14", Builder(), "1", cache)
        assert path.read_bytes() == CONTENT
        assert names(cache) == [path.name, f"{path.name}.lock", f"{path.name}.sha256"]
    assert killed >= 4
