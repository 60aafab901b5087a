"""Files of images in a request: each row depends on its own file alone."""

import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from t2t_keras.export import UNREADABLE
from t2t_keras.export.classifier import decode_rows
from t2t_keras.images import load_image
from tests.support.images import (
    damaged,
    encode,
    pillow_kinds,
    readable_kinds,
    unreadable_kinds,
)

READABLE, UNREADABLE_KINDS = readable_kinds(), unreadable_kinds()
REQUESTS, THREADS = 640, 16


@pytest.fixture(scope="module")
def rows():
    kinds = {**READABLE, **UNREADABLE_KINDS}
    signature = [tf.TensorSpec((None,), tf.string)]
    decode = tf.function(lambda files: decode_rows(files, (32, 40), 0.9), input_signature=signature)
    pixels, readable = decode(tf.constant(list(kinds.values())))
    return {kind: (pixels[row], bool(readable[row])) for row, kind in enumerate(kinds)}


def test_every_kind_has_the_pixels_of_load_image(rows, tmp_path):
    for kind, content in READABLE.items():
        (tmp_path / kind).write_bytes(content)
        expected = load_image(tmp_path / kind, (32, 40)).astype(int)
        pixels, readable = rows[kind]
        assert readable, kind
        assert np.abs(pixels.numpy().astype(int) - expected).max() <= 1, kind


def test_an_unreadable_file_is_a_black_row(rows):
    for kind in UNREADABLE_KINDS:
        pixels, readable = rows[kind]
        assert not readable, kind
        assert not pixels.numpy().any()


def test_a_batch_of_bad_files_fails_in_its_rows_alone(served):
    bad = list(UNREADABLE_KINDS.values())
    outputs = served["serving_image_bytes"](image_bytes=tf.constant(bad))
    assert not outputs["ok"].numpy().any()
    assert set(outputs["classes"].numpy().flat) == {UNREADABLE.encode()}
    assert not np.any(outputs["probabilities"])
    assert not np.any(outputs["logits"])


def resident() -> int:
    """MiB that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 2**20


def test_mixed_requests_from_many_threads_are_answered_as_alone_in_little_memory(served):
    serve = served["serving_image_bytes"]
    files = [*READABLE.values(), *UNREADABLE_KINDS.values(), *pillow_kinds().values()]
    rng = np.random.default_rng(0)
    files += [damaged(file, rng, 9) for file in READABLE.values()]

    def answer(files: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
        outputs = serve(image_bytes=tf.constant(files, tf.string, (len(files),)))
        return outputs["ok"].numpy(), outputs["logits"].numpy()

    alone = [answer([file]) for file in files]
    known_ok, known_logits = (np.concatenate(each) for each in zip(*alone, strict=True))
    assert known_ok[: len(READABLE)].all() and not known_ok.all()

    def ask(seed: int) -> int:
        rng = np.random.default_rng(seed)
        chosen = rng.integers(0, len(files), rng.integers(0, 5))
        ok, logits = answer([files[index] for index in chosen])
        np.testing.assert_array_equal(ok, known_ok[chosen])
        np.testing.assert_allclose(logits, known_logits[chosen], rtol=0, atol=1e-6)
        return ok.sum()

    before = resident()
    with ThreadPoolExecutor(THREADS) as threads:
        assert sum(threads.map(ask, range(REQUESTS))) > REQUESTS / 4
    assert resident() - before < 200


def test_a_request_of_bombs_takes_no_memory(served):
    """Whole files, each of 62 million pixels and more."""
    gray = Image.new("L", (8000, 8100))
    bombs = [encode(gray, "PNG", compress_level=1), encode(gray, "JPEG")]
    del gray
    seen, stopped = [resident()], threading.Event()

    def watch():
        while not stopped.wait(0.002):
            seen.append(resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    outputs = served["serving_image_bytes"](image_bytes=tf.constant([*bombs, READABLE["png"]]))
    stopped.set()
    watcher.join()
    assert outputs["ok"].numpy().tolist() == [False, False, True]
    assert max(seen) - seen[0] < 50
