import hashlib
import os
import resource
import socket
import tempfile
from pathlib import Path

import numpy as np
import pytest

from t2t_keras import files
from t2t_keras.errors import DownloadError
from t2t_keras.files import digest_of, digest_record
from t2t_keras.weights import download
from t2t_keras.weights.cache_dir import weights_dir
from t2t_keras.weights.catalogue import Release
from t2t_keras.weights.download import fetch_release
from tests.weights.processes import drop_root, kill_after, pool, run_alone
from tests.weights.release_server import HTML, serving

DATA = Path(__file__).parent.parent / "data"
BODY = (DATA / "tiny_transformer_half.pth.tar").read_bytes()
OTHER = (DATA / "tiny_bare_state_dict.pth").read_bytes()
LEGACY = (DATA / "tiny_performer_legacy.pth.tar").read_bytes()
NAME = "81.5_T2T_ViT_14.pth.tar"
UNPINNED = Release(variant="t2t_vit_14", filename=NAME, top1=81.5)
PINNED = Release(
    variant="t2t_vit_14",
    filename=NAME,
    top1=81.5,
    size=len(BODY),
    sha384=hashlib.sha384(BODY).hexdigest(),
)
NOWHERE = "http://127.0.0.1:9/"  # nothing listens at the discard port


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server():
    with serving(BODY) as running:
        yield running


@pytest.fixture(params=[UNPINNED, PINNED], ids=["unpinned", "pinned"])
def release(request):
    return request.param


def fetch(release, home, base_url, timeout=5.0):
    return fetch_release(release, home, base_url, timeout=timeout, progress=False)


def names(home):
    found = weights_dir(home).iterdir()
    return sorted(path.name for path in found if path.suffix != ".lock")


def place(home, content):
    """Puts a file where a user would by hand."""
    target = weights_dir(home) / NAME
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return target


@pytest.mark.parametrize("manner", ["whole", "chunked", "unmeasured", "zipped", "redirect"])
def test_the_file_arrives(server, release, tmp_path, manner):
    path = fetch(release, tmp_path, server.url(manner))
    assert path == tmp_path / "models" / "t2t_keras" / NAME
    assert path.read_bytes() == BODY


def test_a_progress_bar_is_drawn_unless_it_is_not_wanted(server, tmp_path, capfd):
    fetch_release(UNPINNED, tmp_path / "1", server.url("whole"), progress=False)
    assert "%" not in capfd.readouterr().err
    fetch_release(UNPINNED, tmp_path / "2", server.url("whole"))
    assert "100%" in capfd.readouterr().err


BAD_ANSWERS = {
    "cut": f"{len(BODY) // 2} bytes read",
    "cut_chunked": "prematurely",
    "cut_unmeasured": "",
    "flipped": "",
    "html": "",
    "empty": "",
    "odd_length": "many",
    "stall": "no data came for 0.3 s",
    "silent": "no data came for 0.3 s",
    "redirect_to_file": "file:///etc/hostname",
    "redirect_loop": "redirects",
    "403": "answered 403",
    "404": "answered 404",
    "429": "answered 429",
    "503": "answered 503",
}
UNPINNED_REASONS = {
    "cut_unmeasured": "cut off",
    "flipped": "CRC-32",
    "html": "HTML page",
    "empty": "is empty",
}
PINNED_REASONS = {
    "cut_unmeasured": f"has {len(BODY) // 2:,} bytes, expected {len(BODY):,}",
    "flipped": f"expected {PINNED.sha384}",
    "html": f"has {len(HTML)} bytes, expected {len(BODY):,}",
    "empty": f"has 0 bytes, expected {len(BODY):,}",
}


@pytest.mark.parametrize("manner", BAD_ANSWERS)
def test_a_bad_answer_is_an_error_with_the_way_out_and_leaves_nothing(
    server, release, tmp_path, manner
):
    url = server.url(manner)
    with pytest.raises(DownloadError) as caught:
        fetch(release, tmp_path, url, timeout=0.3)
    message = str(caught.value)
    reasons = PINNED_REASONS if release is PINNED else UNPINNED_REASONS
    assert reasons.get(manner, BAD_ANSWERS[manner]) in message
    assert url + NAME in message and str(weights_dir(tmp_path) / NAME) in message
    assert names(tmp_path) == []
    # The next call is none the worse for it.
    assert fetch(release, tmp_path, server.url("whole")).read_bytes() == BODY


def test_the_older_format_is_taken_only_if_its_end_is_known(tmp_path):
    with serving(LEGACY) as server:
        for manner in ("unmeasured", "cut_unmeasured", "cut", "cut_chunked"):
            with pytest.raises(DownloadError):
                fetch(UNPINNED, tmp_path, server.url(manner))
            assert names(tmp_path) == []
        for manner in ("whole", "chunked"):
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
    assert str(weights_dir(tmp_path) / NAME) in str(e.value)


def test_a_warm_cache_opens_no_connection(server, release, tmp_path, monkeypatch):
    path = fetch(release, tmp_path, server.url("whole"))

    def refuse(*args):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert fetch(release, tmp_path, server.url("whole")) == path
    assert server.requests == ["whole"]


@pytest.mark.parametrize(
    "damage",
    [BODY[:-1], BODY[:70_000] + b"?" + BODY[70_001:], OTHER, HTML, b""],
    ids=["cut", "flipped", "planted", "html", "empty"],
)
def test_a_damaged_or_planted_file_is_refused_and_fetched_again(
    server, release, tmp_path, damage, caplog
):
    path = fetch(release, tmp_path, server.url("whole"))
    path.write_bytes(damage)
    with pytest.raises(DownloadError, match="the file there now is refused"):
        fetch(release, tmp_path, NOWHERE)
    assert fetch(release, tmp_path, server.url("whole")).read_bytes() == BODY
    assert len(server.requests) == 2
    assert "the file there is refused" in caplog.text


def test_another_file_than_the_first_is_not_taken_silently(tmp_path):
    with serving(BODY) as server:
        path = fetch(UNPINNED, tmp_path, server.url("whole"))
    path.unlink()
    with serving(OTHER) as server:
        with pytest.raises(
            DownloadError, match="expected " + hashlib.sha256(BODY).hexdigest()
        ) as e:
            fetch(UNPINNED, tmp_path, server.url("whole"))
        assert f"delete {digest_record(path)}" in str(e.value)
        digest_record(path).unlink()
        assert fetch(UNPINNED, tmp_path, server.url("whole")).read_bytes() == OTHER


def test_a_file_placed_by_hand_is_taken_and_remembered(release, tmp_path):
    path = place(tmp_path, BODY)
    assert fetch(release, tmp_path, NOWHERE) == path
    expected = [NAME] if release is PINNED else [NAME, f"{NAME}.sha256"]
    assert names(tmp_path) == expected
    path.write_bytes(OTHER)
    with pytest.raises(DownloadError):
        fetch(release, tmp_path, NOWHERE)


@pytest.mark.parametrize("content", [HTML, BODY[:-1], b""], ids=["html", "cut", "empty"])
def test_a_wrong_file_placed_by_hand_is_refused_but_not_deleted(server, tmp_path, content):
    path = place(tmp_path, content)
    with pytest.raises(DownloadError, match="the file there now is refused"):
        fetch(UNPINNED, tmp_path, NOWHERE)
    assert path.read_bytes() == content
    assert fetch(UNPINNED, tmp_path, server.url("whole")).read_bytes() == BODY


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
    files.fcntl = None
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
