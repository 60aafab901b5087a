import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from t2t_keras.errors import ExportError
from t2t_keras.export import export_saved_model, load_saved_model, next_version
from t2t_keras.images import load_image, preprocess_input
from tests.pictures import encode, noise
from tests.tiny import tiny_model

NAMES = ["null", "ett", "två", "tre", "fyra", "fem", "sex", "sju", "åtta", "nio"]
SIZES = [(64, 64), (8, 8), (100, 71), (30, 200)]

# Runs without this package: `import t2t_keras` fails there.
ALONE = """
import sys
sys.modules["t2t_keras"] = None
import numpy as np
import tensorflow as tf
folder, pictures, results = sys.argv[1:]
serve = tf.saved_model.load(folder).signatures["serving_default"]
pictures = np.load(pictures)
outputs = {name: serve(image=tf.constant(pictures[name][None], tf.float32)) for name in pictures}
flat = {f"{name}/{key}": value.numpy() for name in outputs for key, value in outputs[name].items()}
np.savez(results, **{k: v.astype("S") if v.dtype == object else v for k, v in flat.items()})
"""


@pytest.fixture(scope="module")
def model():
    return tiny_model("performer", classifier_activation="softmax")


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    return export_saved_model(model, NAMES, tmp_path_factory.mktemp("models") / "digits")


def test_it_runs_without_this_package_and_equals_the_evaluation(exported, model, tmp_path):
    """Pictures of any size go through `load_image`'s resize and crop inside the graph."""
    pictures = {f"{h}x{w}": noise(h, w, seed=h) for h, w in SIZES}
    np.savez(tmp_path / "pictures.npz", **pictures)
    paths = [str(tmp_path / "pictures.npz"), str(tmp_path / "results.npz")]
    subprocess.run([sys.executable, "-c", ALONE, str(exported), *paths], check=True, cwd=tmp_path)
    with np.load(paths[1]) as results:
        for name, picture in pictures.items():
            path = tmp_path / f"{name}.png"
            path.write_bytes(encode(picture, "PNG"))
            batch = preprocess_input(load_image(path, 64))[None]
            expected = model.predict(batch, verbose=0)
            probabilities = results[f"{name}/probabilities"]
            np.testing.assert_allclose(probabilities, expected, atol=1e-5, err_msg=name)
            logits = results[f"{name}/logits"]
            np.testing.assert_allclose(tf.nn.softmax(logits), expected, atol=1e-5)
            index = expected.argmax()
            assert results[f"{name}/class_index"].tolist() == [index]
            assert results[f"{name}/class_name"][0].decode() == NAMES[index]


def test_a_batch_is_its_pictures(exported):
    classify = load_saved_model(exported)
    pictures = np.stack([noise(20, 30, seed=seed) for seed in range(3)])
    together = classify(pictures)
    assert {name: value.shape for name, value in together.items()} == {
        "logits": (3, 10),
        "probabilities": (3, 10),
        "class_index": (3,),
        "class_name": (3,),
    }
    for row, picture in enumerate(pictures):
        alone = classify(picture[None])["logits"][0]
        np.testing.assert_allclose(together["logits"][row], alone, atol=1e-5)


def test_tf_serving_finds_what_it_looks_for(exported):
    assert exported.name == "1"
    assert (exported / "saved_model.pb").is_file()
    assert (exported / "assets" / "labels.txt").read_text("utf-8").split() == NAMES
    signature = tf.saved_model.load(str(exported)).signatures["serving_default"]
    _, inputs = signature.structured_input_signature
    assert inputs["image"].shape.as_list() == [None, None, None, 3]
    assert inputs["image"].dtype == tf.float32


def test_a_version_is_never_overwritten(exported, model):
    before = sorted((p, p.stat().st_mtime_ns) for p in exported.rglob("*"))
    with pytest.raises(ExportError, match=f"{exported}: exists already.*; 2 is free"):
        export_saved_model(model, NAMES, exported.parent, version=1)
    assert sorted((p, p.stat().st_mtime_ns) for p in exported.rglob("*")) == before


def test_the_next_version_is_above_all(tmp_path):
    assert next_version(tmp_path / "missing") == 1
    for name in ("2", "10", "009", ".part-1234-11", "12x", "²"):
        (tmp_path / name).mkdir()
    assert next_version(tmp_path) == 11


def test_a_failing_export_leaves_nothing(model, tmp_path, monkeypatch):
    def fail(module, folder, signatures):
        Path(folder).mkdir()
        (Path(folder) / "half").write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(ExportError, match="No space left on device"):
        export_saved_model(model, NAMES, tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"class_names": NAMES[:9]}, "10 classes. Received: 9 names"),
        ({"version": 0}, "`version` must be at least 1"),
        ({"model": tiny_model(input_shape=(None, None, 3))}, "fixed size"),
    ],
)
def test_what_cannot_be_exported_is_said(fields, message, model, tmp_path):
    arguments = {"model": model, "class_names": NAMES, "folder": tmp_path, **fields}
    with pytest.raises(ValueError, match=message):
        export_saved_model(**arguments)
    assert not list(tmp_path.iterdir())
