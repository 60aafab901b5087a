import errno
import os
import resource
import tempfile
from pathlib import Path

import filelock
import numpy as np
import pytest

from t2t_keras.errors import DownloadError
from t2t_keras.files import digest_of
from t2t_keras.weights.download import weights_dir
from tests.support.weights.processes import drop_root, kill_after, pool, run_alone
from tests.support.weights.released import (
    BODY,
    NAME,
    NOWHERE,
    PINNED,
    UNPINNED,
    fetch,
    names,
    place,
)


def fetch_without_rights(release, home, base_url):
    drop_root()
    return fetch(release, home, base_url)


@pytest.fixture
def shared_home():
    """A folder that everyone can read and nobody but its owner may write to."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)
        for path in [Path(folder), *Path(folder).rglob("*")]:
            path.chmod(0o755)


def make_read_only(home):
    for path in [home, *home.rglob("*")]:
        path.chmod(0o555)


def test_a_read_only_cache_is_named_and_no_other_folder_is_taken(server, shared_home):
    make_read_only(shared_home)
    with pytest.raises(DownloadError, match="KERAS_HOME") as caught:
        run_alone(fetch_without_rights, UNPINNED, shared_home, server.url("whole"))
    assert str(shared_home) in str(caught.value)
    assert server.requests == []


def test_a_warm_read_only_cache_works(release, shared_home):
    path = place(shared_home, BODY)
    make_read_only(shared_home)
    assert run_alone(fetch_without_rights, release, shared_home, NOWHERE) == path
    assert names(shared_home) == [NAME]


def fetch_with_limit(release, home, base_url, limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return fetch(release, home, base_url)


@pytest.mark.parametrize("limit", [0, len(BODY) // 2, len(BODY) - 1])
def test_a_full_disk_is_an_error_and_leaves_nothing(server, tmp_path, limit):
    with pytest.raises(DownloadError, match="KERAS_HOME"):
        run_alone(fetch_with_limit, PINNED, tmp_path, server.url("whole"), limit)
    assert names(tmp_path) == []


def fetch_without_locks(release, home, base_url):
    def refuse(*_, **__):
        raise OSError(errno.ENOLCK, "No locks available")

    filelock.FileLock.acquire = refuse
    return fetch(release, home, base_url)


def test_eight_processes_fetch_once_and_all_get_the_file(server, release, tmp_path):
    with pool(8) as executor:
        jobs = [executor.submit(fetch, release, tmp_path, server.url("slow")) for _ in range(8)]
        assert {job.result(60).read_bytes() for job in jobs} == {BODY}
    assert server.requests == ["slow"]


def test_eight_processes_without_locks_all_get_the_file(server, tmp_path):
    with pool(8) as executor:
        arguments = (UNPINNED, tmp_path, server.url("slow"))
        jobs = [executor.submit(fetch_without_locks, *arguments) for _ in range(8)]
        assert {job.result(60).read_bytes() for job in jobs} == {BODY}
    assert names(tmp_path) == [NAME, f"{NAME}.sha256"]


def begin_and_fetch(release, home, base_url, begun):
    begun.touch()
    fetch(release, home, base_url)


def test_a_killed_download_leaves_no_file_at_the_final_name(server, release, tmp_path):
    killed = 0
    for life, seconds in enumerate(np.random.default_rng(1).uniform(0, 0.3, 5)):
        home, begun = tmp_path / str(life), tmp_path / f"begun-{life}"
        killed += kill_after(
            seconds, begun, begin_and_fetch, release, home, server.url("slow"), begun
        )
        target = weights_dir(home) / NAME
        assert not target.exists() or target.read_bytes() == BODY
        assert fetch(release, home, server.url("whole")).read_bytes() == BODY
        assert names(home) == ([NAME] if release is PINNED else [NAME, f"{NAME}.sha256"])
        assert digest_of(target, "sha384") == PINNED.sha384
    assert killed >= 4
