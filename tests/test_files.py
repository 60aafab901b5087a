import concurrent.futures
import errno
import hashlib
import os
import resource
import time
from unittest.mock import Mock

import filelock
import pytest

from t2t_keras.errors import DownloadError
from t2t_keras.files import (
    atomic_path,
    digest_of,
    digest_record,
    locked,
    record_digest,
    recorded_digest,
    remove_leftovers,
    write_csv,
)
from tests.support.processes import result_of


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_name_that_is_no_text_keeps_its_bytes_in_a_table(tmp_path):
    write_csv(tmp_path / "table.csv", [["file"], [os.fsdecode(b"\xff.jpg")]])
    assert (tmp_path / "table.csv").read_bytes() == b"file\r\n\xff.jpg\r\n"


def test_digest_is_hashlibs(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"t2t" * 100_000)
    assert digest_of(path) == hashlib.sha256(b"t2t" * 100_000).hexdigest()
    assert digest_of(path, "sha384") == hashlib.sha384(b"t2t" * 100_000).hexdigest()


def test_recorded_digest_is_the_files_and_none_where_there_is_none(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"tokens")
    assert recorded_digest(path) is None
    os.mkfifo(digest_record(path))
    assert recorded_digest(path) is None  # a pipe does not make it hang
    digest_record(path).unlink()
    record_digest(path)
    assert recorded_digest(path) == digest_of(path)
    assert digest_record(path).read_text() == f"{digest_of(path)}  file\n"
    for unreadable in (b"", b"\xff" * 80, digest_of(path).encode()[:-1] + b"\n"):
        digest_record(path).write_bytes(unreadable)
        assert recorded_digest(path) is None


def test_final_name_appears_only_when_the_block_ends(tmp_path):
    final = tmp_path / "model.weights.h5"
    final.write_text("old")
    with atomic_path(final) as part:
        assert part.parent == tmp_path and part.name.endswith("model.weights.h5")
        part.write_text("new")
        assert final.read_text() == "old"
    assert final.read_text() == "new"
    assert names(tmp_path) == ["model.weights.h5"]
    with atomic_path(tmp_path / "1") as part:
        fill(part, True, "x")
    assert (tmp_path / "1" / "inside").read_text() == "x"
    assert names(tmp_path) == ["1", "model.weights.h5"]


def fill(part, folder, text):
    """Makes a file of `part`, or a folder with one file."""
    if folder:
        part.mkdir()
    (part / "inside" if folder else part).write_text(text)


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("folder", [False, True])
def test_after_an_exception_the_old_file_stays_and_nothing_else(tmp_path, error, folder):
    final = tmp_path / "file"
    final.write_text("old")
    with pytest.raises(error), atomic_path(final) as part:
        fill(part, folder, "half")
        raise error
    assert final.read_text() == "old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("folder", [False, True])
def test_a_full_disk_is_an_error_with_the_file(tmp_path, folder):
    final = tmp_path / "log.csv"
    final.write_text("old")

    def write():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            with atomic_path(final) as part:
                fill(part, folder, "x" * 2000)
        except OSError as error:
            return error.errno, error.filename, str(error)

    message = f"[Errno {errno.EFBIG}] {os.strerror(errno.EFBIG)}: '{final}'"
    assert result_of(write) == (0, [errno.EFBIG, str(final), message])
    assert final.read_text() == "old" and names(tmp_path) == ["log.csv"]


def test_an_error_that_names_its_file_or_has_no_number_passes_as_it_is(tmp_path):
    for error in (FileNotFoundError(2, "gone", "elsewhere"), DownloadError("Try again.")):
        with pytest.raises(type(error)) as raised, atomic_path(tmp_path / "file"):
            raise error
        assert raised.value is error


def test_a_block_that_makes_nothing_is_an_error(tmp_path):
    with pytest.raises(OSError), atomic_path(tmp_path / "file"):
        pass
    assert names(tmp_path) == []


def test_leftovers_of_that_file_alone_are_removed_or_all(tmp_path):
    part = ".part-0123abcd-"
    gone = [f"{part}b.h5", f"{part}{part}b.h5", f"{part}b.h5.sha256"]
    others = [f"{part}a-b.h5", f"{part}bxh5", f"{part}b.h5.h5"]
    for name in (*gone, *others, "b.h5"):
        (tmp_path / name).write_text(name)
    remove_leftovers(tmp_path, "b.h5")
    assert names(tmp_path) == sorted([*others, "b.h5"])
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ["b.h5"]


def test_a_lock_keeps_others_out_until_it_is_released_or_fails(tmp_path):
    inside, most = 0, 0

    def work():
        nonlocal inside, most
        with locked(tmp_path / "file") as alone:
            assert alone
            inside += 1
            most = max(most, inside)
            time.sleep(0.01)
            inside -= 1

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        for job in [threads.submit(work) for _ in range(8)]:
            job.result(10)
    assert (inside, most) == (0, 1)
    assert names(tmp_path) == ["file.lock"]
    with pytest.raises(KeyError), locked(tmp_path / "file"):
        raise KeyError
    with locked(tmp_path / "file") as alone:
        assert alone


def test_without_locks_the_block_runs_all_the_same(tmp_path, monkeypatch, caplog):
    errors = [OSError(errno.ENOLCK, "no locks"), OSError(errno.EROFS, "cannot write")]
    monkeypatch.setattr(filelock.FileLock, "acquire", Mock(side_effect=errors))
    with locked(tmp_path / "file") as alone:
        assert not alone
    assert "without a lock" in caplog.text
    with pytest.raises(OSError, match="cannot write"), locked(tmp_path / "file"):
        pass
