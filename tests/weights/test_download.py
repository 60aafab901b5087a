"""The weights cache against bad servers, full disks, kills, races and damage."""

import contextlib
import errno
import functools
import hashlib
import itertools
import os
import resource
import socket
import tempfile
from pathlib import Path
from unittest.mock import Mock

import filelock
import numpy as np
import pytest

from t2t_keras.errors import DownloadError
from t2t_keras.files import digest_of, digest_record
from t2t_keras.weights import download
from t2t_keras.weights.download import fetch_release, weights_dir
from t2t_keras.weights.releases import Release
from tests.conftest import DATA
from tests.support.processes import drop_root, kill_after, pool, run_alone
from tests.support.weights.release_server import HTML, NOWHERE, serving

BODY = (DATA / "tiny_transformer_half.pth.tar").read_bytes()
OTHER = (DATA / "tiny_bare_state_dict.pth").read_bytes()
LEGACY = (DATA / "tiny_performer_legacy.pth.tar").read_bytes()
NAME = "81.5_T2T_ViT_14.pth.tar"
UNPINNED = Release("t2t_vit_14", NAME, 81.5)
SHA384 = hashlib.sha384(BODY).hexdigest()
PINNED = Release("t2t_vit_14", NAME, 81.5, size=len(BODY), sha384=SHA384)


def fetch(release, home, base_url, timeout=5.0):
    os.environ["KERAS_HOME"] = str(home)
    return fetch_release(release, base_url, timeout)


def target_in(home):
    return home / "models" / "t2t_keras" / NAME


def names(home):
    files = target_in(home).parent.iterdir()
    return sorted(path.name for path in files if path.suffix != ".lock")


def place(home, content):
    """Puts a file where a user would by hand."""
    target = target_in(home)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return target


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Reaches the local server without a proxy, and takes `fetch`'s folder back."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("KERAS_HOME", raising=False)


@pytest.fixture
def server():
    with serving(BODY) as running:
        yield running


@pytest.fixture(params=[UNPINNED, PINNED], ids=["unpinned", "pinned"])
def release(request):
    """The release with and without a published size and digest."""
    return request.param


@pytest.mark.parametrize("manner", ["whole", "chunked", "unmeasured", "zipped", "redirect"])
def test_the_file_arrives_with_a_progress_bar(server, release, tmp_path, manner, capfd):
    path = fetch(release, tmp_path, server.url(manner))
    assert path == target_in(tmp_path)
    assert path.read_bytes() == BODY
    assert "100%" in capfd.readouterr().err or manner in ("chunked", "unmeasured", "zipped")


BAD_ANSWERS = {  # the reason, or those for the release without and with a digest
    "cut": f"{len(BODY) // 2} bytes read",
    "cut_chunked": "IncompleteRead",
    "cut_unmeasured": ("cut off", f"has {len(BODY) // 2:,} bytes, expected {len(BODY):,}"),
    "flipped": ("CRC-32", f"expected {SHA384}"),
    "html": ("HTML", f"has {len(HTML)} bytes, expected {len(BODY):,}"),
    "empty": ("is empty", f"has 0 bytes, expected {len(BODY):,}"),
    "odd_length": "many",
    "endless": "more than the expected",
    "stall": "no data came for 0.3 s",
    "silent": "no data came for 0.3 s",
    "drip": "bytes/s, too slowly to wait for",
    "fast_then_drip": "bytes/s, too slowly to wait for",
    "redirect_to_file": "file:///etc/hostname",
    "redirect_loop": "redirects",
    **{status: f"answered {status}" for status in ("403", "404", "429", "503")},
}


@pytest.mark.parametrize("manner", BAD_ANSWERS)
def test_a_bad_answer_is_an_error_with_the_way_out_and_leaves_nothing(
    server, release, tmp_path, manner, monkeypatch
):
    monkeypatch.setattr(download, "_MOST_BYTES", 1 << 20)
    url = server.url(manner)
    with pytest.raises(DownloadError) as caught:
        fetch(release, tmp_path, url, timeout=0.3)
    message, reason = str(caught.value), BAD_ANSWERS[manner]
    assert (reason if isinstance(reason, str) else reason[release is PINNED]) in message
    assert message.startswith(NAME)
    assert url + NAME in message and str(target_in(tmp_path)) in message
    assert names(tmp_path) == []
    # The next call works as the first would have.
    assert fetch(release, tmp_path, server.url("whole")).read_bytes() == BODY


def test_the_older_format_is_taken_whole_or_not_at_all(tmp_path):
    with serving(LEGACY) as server:
        for manner in ("cut_unmeasured", "cut", "cut_chunked"):
            with pytest.raises(DownloadError):
                fetch(UNPINNED, tmp_path, server.url(manner))
            assert names(tmp_path) == []
        for manner in ("whole", "unmeasured", "chunked"):
            path = fetch(UNPINNED, tmp_path / manner, server.url(manner))
            assert path.read_bytes() == LEGACY


def test_an_unencrypted_detour_is_refused(server, tmp_path, monkeypatch):
    real = download._download

    def by_way_of_http(url, *args):
        return real(url.replace("https:", "http:"), *args)

    monkeypatch.setattr(download, "_download", by_way_of_http)
    with pytest.raises(DownloadError, match="unencrypted"):
        fetch(UNPINNED, tmp_path, server.url("whole").replace("http:", "https:"))
    assert names(tmp_path) == []


def test_offline_names_the_address_and_the_path(tmp_path):
    with pytest.raises(DownloadError, match="download http://127.0.0.1:9/81.5.* place it at") as e:
        fetch(UNPINNED, tmp_path, NOWHERE)
    assert str(target_in(tmp_path)) in str(e.value)


def test_a_warm_cache_opens_no_connection(server, release, tmp_path, monkeypatch):
    path = fetch(release, tmp_path, server.url("whole"))
    for owner, name in ((socket.socket, "connect"), (socket, "getaddrinfo")):
        monkeypatch.setattr(owner, name, Mock(side_effect=AssertionError("opened")))
    assert fetch(release, tmp_path, server.url("whole")) == path
    assert server.requests == ["whole"]


DAMAGES = {
    "cut": BODY[:-1],
    "flipped": BODY[:70_000] + b"?" + BODY[70_001:],
    "planted": OTHER,
    "html": HTML,
    "empty": b"",
}


@pytest.mark.parametrize(
    ("fetched", "damage"),
    [pair for pair in itertools.product((True, False), DAMAGES) if pair != (False, "planted")],
)
def test_a_wrong_file_in_the_cache_is_refused_and_fetched_again(
    server, release, tmp_path, fetched, damage, caplog
):
    if fetched:
        fetch(release, tmp_path, server.url("whole"))
    path = place(tmp_path, DAMAGES[damage])
    with pytest.raises(DownloadError, match="the file there now is refused"):
        fetch(release, tmp_path, NOWHERE)
    assert path.read_bytes() == DAMAGES[damage]
    assert fetch(release, tmp_path, server.url("whole")).read_bytes() == BODY
    assert server.requests == ["whole"] * (1 + fetched)
    assert "the file there is refused" in caplog.text


def test_another_file_than_the_first_is_not_taken_silently(tmp_path):
    with serving(BODY) as server:
        path = fetch(UNPINNED, tmp_path, server.url("whole"))
    path.unlink()
    with serving(OTHER) as server:
        expected = "expected " + hashlib.sha256(BODY).hexdigest()
        with pytest.raises(DownloadError, match=expected) as caught:
            fetch(UNPINNED, tmp_path, server.url("whole"))
        assert f"delete {digest_record(path)}" in str(caught.value)
        digest_record(path).unlink()
        assert fetch(UNPINNED, tmp_path, server.url("whole")).read_bytes() == OTHER


def test_a_file_placed_by_hand_is_taken_and_remembered(release, tmp_path):
    path = place(tmp_path, BODY)
    assert fetch(release, tmp_path, NOWHERE) == path
    assert names(tmp_path) == ([NAME] if release is PINNED else [NAME, f"{NAME}.sha256"])
    path.write_bytes(OTHER)
    with pytest.raises(DownloadError):
        fetch(release, tmp_path, NOWHERE)


def test_the_default_folder_is_keras_home_or_the_one_in_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "k"))
    assert weights_dir() == tmp_path / "k" / "models" / "t2t_keras"
    monkeypatch.setenv("KERAS_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "h"))
    assert weights_dir() == tmp_path / "h" / ".keras" / "models" / "t2t_keras"
    assert not (tmp_path / "k").exists() and not (tmp_path / "h").exists()


def test_a_cache_that_is_a_file_is_named(server, tmp_path):
    (tmp_path / "home").write_text("a file")
    with pytest.raises(DownloadError, match="KERAS_HOME") as caught:
        fetch(UNPINNED, tmp_path / "home", server.url("whole"))
    assert str(tmp_path / "home") in str(caught.value)


# Processes without rights, without room and without locks.


def fetch_after(change, release, home, base_url):
    """Fetches in a process whose rights or means are changed first."""
    change()
    return fetch(release, home, base_url)


@contextlib.contextmanager
def read_only(folder):
    """Takes everybody's right to write into a folder, which all may read."""
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(0o555)
    yield
    for path in paths:
        path.chmod(0o755)


@pytest.fixture
def shared_home():
    """A cache that processes without root's rights can reach."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def test_a_read_only_cache_is_named_and_no_other_folder_is_taken(server, shared_home):
    with read_only(shared_home), pytest.raises(DownloadError, match="KERAS_HOME") as caught:
        run_alone(fetch_after, drop_root, UNPINNED, shared_home, server.url("whole"))
    assert str(shared_home) in str(caught.value)
    assert server.requests == []


def test_a_warm_read_only_cache_works(release, shared_home):
    path = place(shared_home, BODY)
    with read_only(shared_home):
        assert run_alone(fetch_after, drop_root, release, shared_home, NOWHERE) == path
    assert names(shared_home) == [NAME]


@pytest.mark.parametrize("limit", [0, len(BODY) // 2, len(BODY) - 1])
def test_a_full_disk_is_an_error_and_leaves_nothing(server, tmp_path, limit):
    full = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit))
    with pytest.raises(DownloadError, match="KERAS_HOME"):
        run_alone(fetch_after, full, PINNED, tmp_path, server.url("whole"))
    assert names(tmp_path) == []


def refuse_locks():
    filelock.FileLock.acquire = Mock(side_effect=OSError(errno.ENOLCK, "No locks available"))


@pytest.mark.parametrize("how", [fetch, functools.partial(fetch_after, refuse_locks)])
def test_eight_processes_all_get_the_file_and_with_locks_fetch_once(server, release, tmp_path, how):
    with pool(8) as executor:
        jobs = [executor.submit(how, release, tmp_path, server.url("slow")) for _ in range(8)]
        assert {job.result(60).read_bytes() for job in jobs} == {BODY}
    assert names(tmp_path) == ([NAME] if release is PINNED else [NAME, f"{NAME}.sha256"])
    assert how is not fetch or server.requests == ["slow"]


def test_a_killed_download_leaves_no_file_at_the_final_name(server, release, tmp_path):
    killed = 0
    for life, seconds in enumerate(np.random.default_rng(1).uniform(0, 0.3, 5)):
        home, begun = tmp_path / str(life), tmp_path / f"begun-{life}"
        job = (fetch_after, begun.touch, release, home, server.url("slow"))
        killed += kill_after(seconds, begun, *job)
        target = target_in(home)
        assert not target.exists() or target.read_bytes() == BODY
        assert fetch(release, home, server.url("whole")).read_bytes() == BODY
        assert names(home) == ([NAME] if release is PINNED else [NAME, f"{NAME}.sha256"])
        assert digest_of(target, "sha384") == SHA384
    assert killed >= 4
