"""SavedModels: their outputs, how a version appears, and the requests that warm it up."""

import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

from t2t_keras import T2TViT
from t2t_keras.errors import ExportError
from t2t_keras.export import Preprocessing, export_model, export_saved_model, load_saved_model
from t2t_keras.export.classifier import activation_of
from t2t_keras.export.saved_model import WARM_UP_NAME, new_version, next_version
from t2t_keras.images import load_image, preprocess_input
from tests.export.conftest import NAMES, OPENVINO_FLOAT32, in_half_precision
from tests.support.images import encode, noise
from tests.support.processes import forked, result_of
from tests.support.tiny import tiny_model, tiny_variant

FILES = 20  # of a version that is watched
SIZES = [(32, 32), (8, 8), (100, 71), (30, 200)]

# Runs with TensorFlow alone: neither this package nor Keras can be imported there.
ALONE = """
import sys
sys.modules["t2t_keras"] = sys.modules["keras"] = None
import numpy as np
import tensorflow as tf
from tensorflow.python.tools import saved_model_cli
folder, images, results = sys.argv[1:]
loaded = tf.saved_model.load(folder).signatures
serve, serve_files = loaded["serving_default"], loaded["serving_image_bytes"]
flat = {}
with np.load(images) as arrays:
    for name in arrays.files:
        outputs = serve(image=tf.constant(arrays[name][None], tf.float32))
        file = tf.io.encode_png(arrays[name])
        outputs |= {f"file_{key}": value for key, value in serve_files(image_bytes=[file]).items()}
        outputs |= loaded["features"](image=tf.constant(arrays[name][None], tf.float32))
        flat |= {f"{name}/{key}": value.numpy() for key, value in outputs.items()}
np.savez(results, **{k: v.astype("S") if v.dtype == object else v for k, v in flat.items()})
np.save("two.npy", np.zeros((2, 40, 30, 3), np.float32))
for command in (
    ["show", "--dir", folder, "--all"],
    ["run", "--dir", folder, "--tag_set", "serve", "--signature_def", "serving_default",
     "--inputs", "image=two.npy"],
):
    sys.argv[1:] = command
    saved_model_cli.create_parser().parse_args(command).func()
"""


@pytest.fixture(scope="module")
def alone(exported, tmp_path_factory):
    """The outputs of a moved SavedModel in another process, and the output of `saved_model_cli`."""
    folder = tmp_path_factory.mktemp("elsewhere")
    images = {f"{h}x{w}": noise(h, w, seed=h) for h, w in SIZES}
    np.savez(folder / "images.npz", **images)
    shutil.copytree(exported, folder / "7")
    command = [sys.executable, "-c", ALONE, "7", "images.npz", "results.npz"]
    done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    with np.load(folder / "results.npz") as results:
        return images, dict(results), done.stdout


def test_without_this_package_it_equals_the_evaluation(alone, model, tmp_path):
    """Images of any size go through `load_image`'s resize and crop inside the graph."""
    images, results, _ = alone
    for name, image in images.items():
        path = tmp_path / f"{name}.png"
        path.write_bytes(encode(image, "PNG"))
        (expected,) = model(preprocess_input(load_image(path, 32))[None]).numpy()
        likeliest = np.argsort(-expected)[:5]
        for kind in ("", "file_"):
            given = results[f"{name}/{kind}probabilities"][0]
            np.testing.assert_allclose(given, expected[likeliest], atol=1e-5, err_msg=name)
            logits = results[f"{name}/{kind}logits"][0]
            np.testing.assert_allclose(tf.nn.softmax(logits), expected, atol=1e-5)
            classes = results[f"{name}/{kind}classes"][0]
            assert [label.decode() for label in classes] == [NAMES[i] for i in likeliest]
        assert results[f"{name}/features"].shape == (1, 32)


def test_saved_model_cli_shows_and_runs_it(alone):
    _, _, output = alone
    for name in ("serving_default", "serving_image_bytes", "features"):
        assert f"signature_def['{name}']" in output
    assert "inputs['image_bytes']" in output
    shown = output.partition("Result for output key classes:")[2]
    assert shown.count("]") >= 2


def test_features_are_the_inputs_of_the_classifier(model, served):
    image = noise(32, 32)[None]
    given = served["features"](image=tf.constant(image, tf.float32))["features"]
    kernel, bias = model.get_layer("head").get_weights()
    expected = served["serving_default"](image=tf.constant(image, tf.float32))["logits"]
    np.testing.assert_allclose(given @ kernel + bias, expected, atol=1e-5)


def test_a_batch_is_its_images(exported):
    classify = load_saved_model(exported)
    images = np.stack([noise(20, 30, seed=seed) for seed in range(3)])
    together = classify(images)
    shapes = {name: value.shape for name, value in together.items()}
    assert shapes == {"logits": (3, 10), "probabilities": (3, 5), "classes": (3, 5)}
    for row, image in enumerate(images):
        alone = classify(image[None])["logits"][0]
        np.testing.assert_allclose(together["logits"][row], alone, atol=1e-5)


def test_an_empty_batch_gives_an_empty_result(served):
    empty = served["serving_default"](image=tf.zeros((0, 40, 30, 3)))
    files = served["serving_image_bytes"](image_bytes=tf.constant([], tf.string))
    assert empty["logits"].shape == files["logits"].shape == (0, 10)
    assert empty["classes"].shape == files["classes"].shape == (0, 5)
    assert files["ok"].shape == (0,)


@pytest.mark.parametrize(
    ("signature", "inputs"),
    [
        ("serving_default", {"image": tf.zeros((1, 8, 8, 3), tf.uint8)}),
        ("serving_default", {"image": tf.zeros((8, 8, 3))}),
        ("serving_default", {"images": tf.zeros((1, 8, 8, 3))}),
        ("serving_image_bytes", {"image_bytes": tf.zeros((1,))}),
        ("serving_image_bytes", {"image_bytes": tf.constant("one")}),
        ("serving_image_bytes", {"bytes": tf.constant(["one"])}),
    ],
)
def test_wrong_types_ranks_and_names_are_refused(signature, inputs, served):
    wrong = (TypeError, tf.errors.InvalidArgumentError)
    with pytest.raises(wrong, match=r"image|float|string|expected shape \[\?\]"):
        served[signature](**inputs)


def test_a_model_that_gives_logits_gets_a_softmax(model):
    assert activation_of(tiny_model(classifier_activation=None)) == activation_of(model)
    assert activation_of(model) == "softmax"


@pytest.fixture(scope="module")
def any_size(tmp_path_factory):
    """A SavedModel of a model for any size, and the probability it should give for an image.

    It was trained in half precision and has a sigmoid; what is served computes in float32.
    """

    def build():
        variant, shape = tiny_variant(image_size=32, depth=1), (None, None, 3)
        return T2TViT(variant, input_shape=shape, classes=3, classifier_activation="sigmoid")

    free = build()
    free.get_layer("head").bias.assign([2.0, 1.0, -1.0])
    settings = Preprocessing(image_size=(32, 48), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    folder = tmp_path_factory.mktemp("free")
    path = folder / "model.keras"
    trained = in_half_precision("bfloat16", build, free.get_weights(), path)
    version = export_saved_model(trained, "abc", folder, 4, settings, top=1, warm_up_batches=())

    def likeliest(image):
        pixels = (image / 255 - settings.mean) / settings.std
        return free(pixels[None].astype("float32")).numpy().max(1, keepdims=True)

    return version, likeliest


def test_a_model_for_any_size_takes_images_as_they_are(any_size):
    version, likeliest = any_size
    classify = load_saved_model(version)
    for image in (noise(32, 32), noise(48, 80)):
        given = classify(image[None])["probabilities"]
        np.testing.assert_allclose(given, likeliest(image), atol=1e-5)


def test_openvino_reads_a_saved_model_that_resizes_nothing(any_size):
    """It knows no `ScaleAndTranslate`, which is what resizes as Pillow does."""
    openvino = pytest.importorskip("openvino", reason='needs pip install -e ".[export]"')
    version, likeliest = any_size
    compiled = openvino.compile_model(version, config=OPENVINO_FLOAT32)
    image = noise(48, 32)
    given = compiled({"image": image[None].astype("float32")})
    np.testing.assert_allclose(given["probabilities"], likeliest(image), atol=1e-5)
    assert given["classes"].shape == (1, 1)


def test_a_version_has_its_files_and_is_never_overwritten(exported, model, monkeypatch):
    monkeypatch.setattr(tf.saved_model, "save", lambda *_: pytest.fail("the work began"))
    assert (exported / "assets" / "labels.txt").read_text("utf-8").split() == NAMES
    assert tempfile.gettempdir().encode() not in (exported / "saved_model.pb").read_bytes()
    before = sorted((p, p.stat().st_mtime_ns) for p in exported.rglob("*"))
    with pytest.raises(ExportError, match=f"{exported}: exists already.*; 2 is free"):
        export_saved_model(model, NAMES, exported.parent, version=1)
    assert sorted((p, p.stat().st_mtime_ns) for p in exported.rglob("*")) == before


FULL = tf.errors.ResourceExhaustedError(None, None, "No space")


@pytest.mark.parametrize(
    "error",
    [OSError("No space left"), FULL, None],
    ids=["of the system", "of TensorFlow", "later, in the warm-up"],
)
def test_a_failing_export_leaves_nothing(error, model, tmp_path, monkeypatch):
    def fail(module, folder, signatures):
        (tmp_path / "models" / "half").rename(folder)
        if error is not None:
            raise error

    (tmp_path / "models" / "half").mkdir(parents=True)
    monkeypatch.setattr(tf.saved_model, "save", fail)
    monkeypatch.setattr(tf.io, "TFRecordWriter", mock.Mock(side_effect=FULL))
    with pytest.raises(ExportError, match="No space"):
        export_saved_model(model, NAMES, tmp_path / "models")
    assert [path.name for path in (tmp_path / "models").iterdir()] == [".export.lock"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"class_names": NAMES[:9]}, "10 classes. Received: class_names=9 names"),
        ({"class_names": [*NAMES[:9], "a\nb"]}, "one line of text each"),
        ({"version": 0}, "`version` must be at least 1"),
        ({"top": 11}, "`top` must be 1 to 10"),
        ({"warm_up_batches": (1, 0)}, "`warm_up_batches` must be at least 1 each"),
        ({"model": tiny_model(input_shape=(None, None, 3))}, "`image_size` must be|fixed size"),
        ({"model": tiny_model(include_top=False)}, "with its classifier"),
        ({"model": tiny_model(classifier_activation="relu")}, "softmax, .* or None .*=relu"),
    ],
)
def test_a_wrong_argument_is_refused(fields, message, model, tmp_path):
    arguments = {"model": model, "class_names": NAMES, "folder": tmp_path, **fields}
    exporters = [export_saved_model]
    if not {"top", "warm_up_batches"} & fields.keys():
        exporters.append(functools.partial(export_model, format="litert"))
    for export in exporters:
        with pytest.raises(ValueError, match=message):
            export(**arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image_size": (0, 32)}, "`image_size` must be"),
        ({"crop_pct": 1.1}, r"`crop_pct` must be in \(0, 1\]"),
        ({"mean": (0.5, 0.5)}, "`mean` must be three numbers"),
        ({"std": (0.5, 0.5, 0.0)}, "`std` must be three numbers"),
    ],
)
def test_a_setting_out_of_range_is_said(fields, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing(**fields)


def _write(folder, version=None):
    with new_version(folder, version) as (part, target):
        part.mkdir()
        for number in range(FILES):
            (part / str(number)).write_bytes(b"x" * 100)
    return target


def _kill_one(folder):
    def killed():
        with new_version(folder, None) as (part, _):
            part.mkdir()
            (part / "half").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)

    assert result_of(killed) == (-signal.SIGKILL, None)


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
    """As TensorFlow Serving does it: it finds a higher number, loads that and switches."""
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


def test_a_folder_that_cannot_be_made_is_an_export_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ExportError, match="cannot be written .*another folder"):
        _write(tmp_path / "file" / "models")


def test_every_signature_is_warmed_up_with_every_batch_size(exported, served):
    needed = 'needs pip install -e ".[serving]"'
    logs = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2", reason=needed)
    seen = set()
    for record in tf.data.TFRecordDataset(str(exported / WARM_UP_NAME)).as_numpy_iterator():
        request = logs.PredictionLog.FromString(record).predict_log.request
        name = request.model_spec.signature_name
        inputs = {key: tf.make_ndarray(tensor) for key, tensor in request.inputs.items()}
        outputs = served[name](**{key: tf.constant(value) for key, value in inputs.items()})
        (count,) = {len(value) for value in (*inputs.values(), *outputs.values())}
        assert name != "serving_image_bytes" or outputs["ok"].numpy().all()
        seen |= {(name, count)}
    signatures = ("serving_default", "serving_image_bytes", "features")
    assert seen == {(name, count) for name in signatures for count in (1, 8)}
