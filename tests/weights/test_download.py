import hashlib
import socket

import pytest

from t2t_keras.errors import DownloadError
from t2t_keras.files import digest_record
from t2t_keras.weights import download
from t2t_keras.weights.download import fetch_release, weights_dir
from tests.support.weights.release_server import HTML, serving
from tests.support.weights.released import (
    BODY,
    LEGACY,
    NAME,
    NOWHERE,
    OTHER,
    PINNED,
    UNPINNED,
    fetch,
    names,
    place,
)


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
    "endless": "more than the expected",
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
    "html": "HTML",
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
    server, release, tmp_path, manner, monkeypatch
):
    monkeypatch.setattr(download, "_MOST_BYTES", 1 << 20)
    url = server.url(manner)
    with pytest.raises(DownloadError) as caught:
        fetch(release, tmp_path, url, timeout=0.3)
    message = str(caught.value)
    reasons = PINNED_REASONS if release is PINNED else UNPINNED_REASONS
    assert reasons.get(manner, BAD_ANSWERS[manner]) in message
    assert message.startswith(NAME)
    assert url + NAME in message and str(weights_dir(tmp_path) / NAME) in message
    assert names(tmp_path) == []
    # The next call is none the worse for it.
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
