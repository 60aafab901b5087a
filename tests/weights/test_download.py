"""The weights cache against bad servers, full disks, kills, races and damage."""

import contextlib
import errno
import hashlib
import resource
import socket
import tempfile
import time
from pathlib import Path

import filelock
import numpy as np
import pytest

from t2t_keras.errors import CheckpointError, DownloadError
from t2t_keras.files import digest_of, digest_record
from t2t_keras.weights import download
from t2t_keras.weights.download import cached_conversion, fetch_release, weights_dir
from t2t_keras.weights.releases import Release
from tests.conftest import DATA
from tests.support.weights.processes import drop_root, kill_after, pool, run_alone
from tests.support.weights.release_server import HTML, NOWHERE, serving

BODY = (DATA / "tiny_transformer_half.pth.tar").read_bytes()
OTHER = (DATA / "tiny_bare_state_dict.pth").read_bytes()
LEGACY = (DATA / "tiny_performer_legacy.pth.tar").read_bytes()
NAME = "81.5_T2T_ViT_14.pth.tar"
UNPINNED = Release("t2t_vit_14", NAME, 81.5)
SHA384 = hashlib.sha384(BODY).hexdigest()
PINNED = Release("t2t_vit_14", NAME, 81.5, size=len(BODY), sha384=SHA384)


def fetch(release, home, base_url, timeout=5.0):
    return fetch_release(release, home, base_url, timeout=timeout, progress=False)


def names(home, locks=False):
    files = weights_dir(home).iterdir()
    return sorted(path.name for path in files if locks or path.suffix != ".lock")


def place(home, content):
    """Puts a file where a user would by hand."""
    target = weights_dir(home) / NAME
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return target


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """Reaches the local server where downloads otherwise go by way of a proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server():
    with serving(BODY) as running:
        yield running


@pytest.fixture(params=[UNPINNED, PINNED], ids=["unpinned", "pinned"])
def release(request):
    """The release with and without a published size and digest."""
    return request.param


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


BAD_ANSWERS = {  # the reason, or those for the release without and with a digest
    "cut": f"{len(BODY) // 2} bytes read",
    "cut_chunked": "prematurely",
    "cut_unmeasured": ("cut off", f"has {len(BODY) // 2:,} bytes, expected {len(BODY):,}"),
    "flipped": ("CRC-32", f"expected {SHA384}"),
    "html": ("HTML", f"has {len(HTML)} bytes, expected {len(BODY):,}"),
    "empty": ("is empty", f"has 0 bytes, expected {len(BODY):,}"),
    "odd_length": "many",
    "endless": "more than the expected",
    "stall": "no data came for 0.3 s",
    "silent": "no data came for 0.3 s",
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
    assert url + NAME in message and str(weights_dir(tmp_path) / NAME) in message
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


def test_a_cache_that_is_a_file_is_named(server, source, tmp_path):
    (tmp_path / "home").write_text("a file")
    for fill in (
        lambda: fetch(UNPINNED, tmp_path / "home", server.url("whole")),
        lambda: kept(source, tmp_path / "home"),
    ):
        with pytest.raises(DownloadError, match="KERAS_HOME") as caught:
            fill()
        assert str(tmp_path / "home") in str(caught.value)


# Processes without rights, without room and without locks.


def fetch_without_rights(release, home, base_url):
    drop_root()
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
        run_alone(fetch_without_rights, UNPINNED, shared_home, server.url("whole"))
    assert str(shared_home) in str(caught.value)
    assert server.requests == []


def test_a_warm_read_only_cache_works(release, shared_home):
    path = place(shared_home, BODY)
    with read_only(shared_home):
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


@pytest.mark.parametrize("how", [fetch, fetch_without_locks])
def test_eight_processes_all_get_the_file_and_with_locks_fetch_once(server, release, tmp_path, how):
    with pool(8) as executor:
        jobs = [executor.submit(how, release, tmp_path, server.url("slow")) for _ in range(8)]
        assert {job.result(60).read_bytes() for job in jobs} == {BODY}
    assert names(tmp_path) == ([NAME] if release is PINNED else [NAME, f"{NAME}.sha256"])
    assert how is not fetch or server.requests == ["slow"]


def begin_and_fetch(release, home, base_url, begun):
    begun.touch()
    fetch(release, home, base_url)


def test_a_killed_download_leaves_no_file_at_the_final_name(server, release, tmp_path):
    killed = 0
    for life, seconds in enumerate(np.random.default_rng(1).uniform(0, 0.3, 5)):
        home, begun = tmp_path / str(life), tmp_path / f"begun-{life}"
        job = (begin_and_fetch, release, home, server.url("slow"), begun)
        killed += kill_after(seconds, begun, *job)
        target = weights_dir(home) / NAME
        assert not target.exists() or target.read_bytes() == BODY
        assert fetch(release, home, server.url("whole")).read_bytes() == BODY
        assert names(home) == ([NAME] if release is PINNED else [NAME, f"{NAME}.sha256"])
        assert digest_of(target, "sha384") == SHA384
    assert killed >= 4


# Kept conversions.

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

    def __init__(self):
        self.calls = 0

    def __call__(self, path):
        self.calls += 1
        path.write_bytes(CONTENT)


def kept(source, home, build=None, name="t2t_vit_14", version="1"):
    return cached_conversion(source, name, build or Builder(), version, home)


def files_of(path):
    return [path.name, f"{path.name}.lock", f"{path.name}.sha256"]


def test_converts_once(source, home):
    build = Builder()
    path = kept(source, home, build)
    assert path.read_bytes() == CONTENT
    assert path == kept(source, home, build)
    assert build.calls == 1
    assert path.name == f"t2t_vit_14-{digest_of(source)[:16]}-1.weights.h5"
    assert names(home, locks=True) == files_of(path)


def test_the_default_folder_of_conversions_is_keras_home(source, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "elsewhere"))
    assert kept(source, None).parent == tmp_path / "elsewhere" / "models" / "t2t_keras"


def test_another_source_name_or_converter_is_another_file(source, home, tmp_path):
    build = Builder()
    other = tmp_path / "other"
    other.write_bytes(b"OFFICIAL")
    paths = {
        kept(source, home, build),
        kept(other, home, build),
        kept(source, home, build, version="2"),
        kept(source, home, build, name="t2t_vit_19"),
    }
    assert len(paths) == build.calls == 4


DAMAGES = {
    "flip": lambda path: path.write_bytes(
        CONTENT[:1000] + bytes([CONTENT[1000] ^ 4]) + CONTENT[1001:]
    ),
    "cut": lambda path: path.write_bytes(CONTENT[:-1]),
    "plant": lambda path: path.write_bytes(b"\x89HDF planted"),
    "no record": lambda path: digest_record(path).unlink(),
    "damaged record": lambda path: digest_record(path).write_text("0" * 64),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_planted_conversion_is_built_again(source, home, damage, caplog):
    build = Builder()
    path = kept(source, home, build)
    if damage == "no record":
        path.write_bytes(b"\x89HDF planted")
    DAMAGES[damage](path)
    path = kept(source, home, build)
    assert (build.calls, path.read_bytes()) == (2, CONTENT)
    assert ("does not have its recorded digest" in caplog.text) == (damage != "gone")
    kept(source, home, build)
    assert build.calls == 2


def test_a_failing_conversion_leaves_nothing_and_passes_its_error_on(source, home):
    def fail(path):
        path.write_bytes(b"half")
        raise CheckpointError("no such variant")

    with pytest.raises(CheckpointError, match="no such variant"):
        kept(source, home, fail)
    assert names(home) == []


def test_a_missing_source_is_that_error(tmp_path, home):
    with pytest.raises(FileNotFoundError):
        kept(tmp_path / "none", home)


def build_slowly(path):
    with open(path.parent / "builds.log", "a") as log:
        log.write("built\n")
    with open(path, "wb") as file:
        for at in range(0, len(CONTENT), 5120):
            file.write(CONTENT[at : at + 5120])
            file.flush()
            time.sleep(0.025)


def begin_and_convert(source, home, begun):
    begun.touch()
    return kept(source, home, build_slowly)


def test_eight_processes_build_once_and_all_get_the_file(source, home, tmp_path):
    with pool(8) as executor:
        begun = [tmp_path / str(number) for number in range(8)]
        jobs = [executor.submit(begin_and_convert, source, home, each) for each in begun]
        (path,) = {job.result(60) for job in jobs}
    assert path.read_bytes() == CONTENT
    assert (weights_dir(home) / "builds.log").read_text() == "built\n"


def test_a_killed_conversion_leaves_no_file_at_the_final_name(source, home, tmp_path):
    killed = 0
    for life, seconds in enumerate(np.random.default_rng(0).uniform(0, 0.2, 5)):
        cache, begun = home / str(life), tmp_path / f"begun-{life}"
        killed += kill_after(seconds, begun, begin_and_convert, source, cache, begun)
        done = list(weights_dir(cache).glob("t2t_vit_14-*.weights.h5"))
        assert all(path.read_bytes() == CONTENT for path in done)
        path = kept(source, cache)
        assert path.read_bytes() == CONTENT
        assert {*names(cache, locks=True)} - {"builds.log"} == {*files_of(path)}
    assert killed >= 4
