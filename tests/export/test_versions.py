"""A version appears whole or not at all, whoever looks and whatever happens."""

import os
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import tensorflow as tf

from t2t_keras.errors import ExportError
from t2t_keras.export import next_version
from t2t_keras.export.saved_model import new_version
from tests.export.conftest import NAMES
from tests.support.images import encode, noise
from tests.support.training.forked import forked

FILES = 20


def _write(folder, version=None):
    with new_version(folder, version) as (part, target):
        part.mkdir()
        for number in range(FILES):
            (part / str(number)).write_bytes(b"x" * 100)
    return target


def _killed(folder):
    with new_version(folder, None) as (part, _):
        part.mkdir()
        (part / "half").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)


def _kill_one(folder):
    pid, read = forked(lambda _: _killed(folder))
    os.close(read)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def _versions(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.isdecimal())


def test_the_next_version_is_above_all(tmp_path):
    assert next_version(tmp_path / "missing") == 1
    for name in ("2", "10", "009", ".part-1234-11", "12x", "²"):
        (tmp_path / name).mkdir()
    assert next_version(tmp_path) == 11


def test_a_watcher_never_sees_a_part_of_a_version(tmp_path):
    seen, stopped = [], threading.Event()

    def watch():
        while not stopped.is_set():
            seen.extend(len(os.listdir(tmp_path / name)) for name in _versions(tmp_path))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(5):
        _write(tmp_path)
        _kill_one(tmp_path)
        _write(tmp_path)
    stopped.set()
    watcher.join()
    assert set(seen) == {FILES}
    assert len(_versions(tmp_path)) == 10


def test_a_killed_export_leaves_no_version_and_the_next_one_cleans_up(tmp_path):
    for _ in range(2):
        _kill_one(tmp_path)
        assert _versions(tmp_path) == []
        assert any(path.name.startswith(".part-") for path in tmp_path.iterdir())
    assert _write(tmp_path) == tmp_path / "1"
    assert {path.name for path in tmp_path.iterdir()} == {"1", ".export.lock"}


def test_exports_at_the_same_time_get_versions_of_their_own(tmp_path):
    children = [forked(lambda _: _write(tmp_path)) for _ in range(4)]
    for pid, read in children:
        os.close(read)
        assert os.waitpid(pid, 0)[1] == 0
    assert _versions(tmp_path) == ["1", "2", "3", "4"]


def _in_upper_case(exported, part):
    """The same SavedModel, but for the names that it gives."""
    shutil.copytree(exported, part)
    graph = (part / "saved_model.pb").read_bytes()
    for name in NAMES:  # as a protocol buffer has them: field 8, the length, the bytes
        old, new = (b"B%c%b" % (len(text), text) for text in (name.encode(), name.upper().encode()))
        assert old in graph and len(old) == len(new)
        graph = graph.replace(old, new)
    (part / "saved_model.pb").write_bytes(graph)


def test_a_new_version_takes_over_without_a_failed_or_mixed_answer(exported, served, tmp_path):
    """As TensorFlow Serving does it: it looks for a higher number, loads that and goes over."""
    good = encode(noise(40, 50), "JPEG")
    current = [served["serving_image_bytes"]]
    loaded = []  # a signature lives as long as what it comes from

    def serve():
        started = time.monotonic()
        while not (tmp_path / "2").exists() and time.monotonic() - started < 60:
            time.sleep(0.001)
        loaded.append(tf.saved_model.load(str(tmp_path / "2")))
        current[0] = loaded[0].signatures["serving_image_bytes"]

    def is_first() -> bool:
        outputs = current[0](image_bytes=tf.constant([good, b"bad", good]))
        assert outputs["ok"].numpy().tolist() == [True, False, True]
        names = {name.decode() for name in outputs["classes"].numpy()[[0, 2]].flat}
        assert names <= set(NAMES) or names <= set(map(str.upper, NAMES))
        return names <= set(NAMES)

    def ask() -> list[bool]:
        answers = [is_first()]
        while server.is_alive():
            answers.append(is_first())
        return [*answers, is_first()]

    server = threading.Thread(target=serve)
    server.start()
    with ThreadPoolExecutor(2) as threads:
        asking = [threads.submit(ask) for _ in range(2)]
        with new_version(tmp_path, 2) as (part, _):
            _in_upper_case(exported, part)
        for answers in (one.result() for one in asking):
            assert answers[0] and not answers[-1] and answers == sorted(answers, reverse=True)


def test_a_version_that_is_there_is_refused_before_any_work(tmp_path):
    _write(tmp_path, 3)
    with pytest.raises(ExportError, match="3: exists already.*4 is free"):
        with new_version(tmp_path, 3):
            pytest.fail("the work began")


def test_a_folder_that_cannot_be_made_is_an_export_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ExportError, match="cannot be written .*another folder"):
        _write(tmp_path / "file" / "models")
