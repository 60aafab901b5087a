import csv
import os
import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from t2t_keras import load_image, load_official_checkpoint, preprocess_input
from t2t_keras.cli import predict
from t2t_keras.cli.main import main
from t2t_keras.cli.predict import find_images, open_classifier
from t2t_keras.errors import CheckpointError
from t2t_keras.export import Preprocessing, export_saved_model
from t2t_keras.images import CIFAR_MEAN, CIFAR_STD, IMAGENET_STD
from t2t_keras.weights.convert import write_model
from t2t_keras.weights.formats import ModelMetadata
from tests.conftest import DATA
from tests.support.images import encode, make_folder, noise
from tests.support.running import line
from tests.support.tiny import tiny_model

NAMES = ("ash", "elm", "oak")


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(2)
    return tiny_model("convolution", classes=3, classifier_activation="softmax")


@pytest.fixture(scope="module")
def kept(model, tmp_path_factory) -> Path:
    """A folder with the model in two forms: `model.keras`, and a SavedModel in `served`."""
    folder = tmp_path_factory.mktemp("kept")
    write_model(model, folder / "model.keras", ModelMetadata(NAMES, crop_pct=0.8))
    version = export_saved_model(model, NAMES, folder / "served", 1, Preprocessing(crop_pct=0.8))
    version.rename(folder / "served" / "00000001")  # as other programs number versions
    (folder / "served" / "2").mkdir()  # without a SavedModel
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """Five images in two folders, and what is none."""
    root = make_folder(tmp_path_factory.mktemp("images"), {"one": 3, "two": 2}, size=40)
    (root / "two" / "notes.txt").write_text("no image by its suffix")
    (root / "two" / ".hidden.jpg").write_bytes(b"")
    return root


def predicted(tmp_path, model, *images, **flags) -> list[list[str]]:
    """The rows of the CSV file, without the heading."""
    target = tmp_path / "predictions.csv"
    assert main(line("predict", model, *images, "--debug", output=target, **flags)) == 0
    heading, *rows = csv.reader(target.read_text("utf-8").splitlines())
    assert heading == ["file", "rank", "class", "probability"]
    return rows


def test_a_keras_file_names_classes_and_crops_as_it_was_trained(kept, model, images, tmp_path):
    rows = predicted(tmp_path, kept / "model.keras", images, top=2, batch_size=2)
    files = sorted(path for path in images.rglob("*.jpg") if path.name != ".hidden.jpg")
    assert [row[0] for row in rows[::2]] == list(map(str, files))
    assert [row[1] for row in rows] == ["1", "2"] * 5

    batch = np.stack([load_image(file, 64, 0.8) for file in files])
    expected = np.asarray(model(preprocess_input(batch)))
    for file, row in enumerate(rows[::2]):
        assert row[2] == NAMES[expected[file].argmax()]
        assert float(row[3]) == pytest.approx(expected[file].max(), abs=2e-6)


def test_a_saved_model_predicts_the_same(kept, images, tmp_path):
    whole = predicted(tmp_path, kept / "model.keras", images)
    for place in ("served", "served/00000001"):
        served = predicted(tmp_path, kept / place, images)
        assert [row[:3] for row in served] == [row[:3] for row in whole]
        shares = [[float(row[3]) for row in rows] for rows in (served, whole)]
        np.testing.assert_allclose(*shares, rtol=0, atol=1e-3)


def test_unreadable_files_are_skipped_with_a_message(kept, tmp_path, capsys):
    (tmp_path / "torn.jpg").write_bytes(encode(noise(40, 40), "JPEG")[:300])
    (tmp_path / "whole.png").write_bytes(encode(noise(40, 40), "PNG"))
    asked = line("predict", kept, tmp_path, tmp_path / "nowhere.jpg", top=1, batch_size=1)
    assert main(asked) == 1
    output = capsys.readouterr()
    assert len(re.findall(r"skipped: .*torn\.jpg: not readable as an image", output.err)) == 1
    assert "skipped: " + str(tmp_path / "nowhere.jpg") in output.err
    assert output.err.endswith("2 of 3 skipped\n")
    assert re.fullmatch(rf"{tmp_path}/whole\.png: (ash|elm|oak) \d+\.\d%\n", output.out)


def test_an_official_checkpoint_needs_no_other_file(images, tmp_path):
    """Its sizes read off, its crop and colors the default, its classes numbered."""
    path = DATA / "tiny_performer.pth.tar"
    rows = predicted(tmp_path, path, images / "two", top=1, num_heads=2)
    model = tiny_model(classifier_activation="softmax")
    load_official_checkpoint(model, path)
    files = sorted((images / "two").glob("[!.]*.jpg"))
    expected = np.asarray(model(preprocess_input(np.stack([load_image(f, 64) for f in files]))))
    best = expected.argmax(axis=1)
    named = zip(files, best, strict=True)
    assert [row[:3] for row in rows] == [[str(f), "1", f"class {label}"] for f, label in named]
    np.testing.assert_allclose([float(row[3]) for row in rows], expected.max(axis=1), atol=2e-6)


def test_probabilities_come_from_the_model_s_own_activation(image, tmp_path):
    model = tiny_model("convolution", classes=3, classifier_activation="sigmoid")
    write_model(model, tmp_path / "model.keras", ModelMetadata(NAMES))
    export_saved_model(model, NAMES, tmp_path / "served", 1)
    expected = np.asarray(model(preprocess_input(load_image(image, 64)[None])))
    assert abs(expected.sum() - 1) > 0.1
    for place in (tmp_path / "model.keras", tmp_path / "served"):
        classifier = open_classifier(str(place))
        found = classifier.probabilities([classifier.read(image)])
        np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.fixture
def image(tmp_path) -> str:
    (tmp_path / "image.png").write_bytes(encode(noise(40, 60), "PNG"))
    return str(tmp_path / "image.png")


@pytest.fixture
def normalized_by(monkeypatch):
    """The means and deviations that images are normalized by."""
    seen = []
    monkeypatch.setattr(predict, "normalize", lambda x, *by: seen.append(by) or x / 255.0)
    return seen


@pytest.mark.parametrize(
    ("given", "colors"),
    [
        ({"statistics": "cifar"}, (CIFAR_MEAN, CIFAR_STD)),
        ({"mean": CIFAR_MEAN}, (CIFAR_MEAN, IMAGENET_STD)),
    ],
)
def test_crop_and_colors_can_be_given(given, colors, kept, image, normalized_by):
    classifier = open_classifier(str(kept), crop_pct=0.5, **given)
    read = classifier.read(image)
    np.testing.assert_array_equal(read, load_image(image, 64, 0.5))
    classifier.probabilities([read])
    assert normalized_by == [colors]


def test_the_authors_cifar_models_know_their_classes_and_colors(tmp_path, image, normalized_by):
    path = shutil.copy(DATA / "tiny_cifar_layout.pth", tmp_path / "cifar10_t2t-vit_14_98.3.pth")
    classifier = open_classifier(path, num_heads=2)
    assert classifier.class_names[:2] == ("airplane", "automobile")
    shares = classifier.probabilities([np.zeros_like(classifier.read(image))] * 2)
    assert normalized_by == [(CIFAR_MEAN, CIFAR_STD)]
    assert shares.shape == (2, 10)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-5)


def test_a_folder_is_read_as_training_reads_it_and_the_rest_is_listed(images, tmp_path, caplog):
    shutil.copytree(images, tmp_path / "all")
    (tmp_path / "all" / "broken.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "all" / "linked").symlink_to(images / "one")
    (tmp_path / "all" / "scan.TIF").write_bytes(encode(noise(9, 9), "TIFF"))
    with caplog.at_level("WARNING"):
        files, wrong = find_images([str(tmp_path / "all")])
    assert len(files) == 6 and files[0].endswith("scan.TIF") and not wrong
    ignored = "1 .txt, 1 broken link or special file, 1 hidden, 1 link to a folder"
    assert f"all: ignored beside the images: {ignored}" in caplog.text


def test_folders_that_are_empty_or_cannot_be_read_are_reported(images, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    (tmp_path / "some").mkdir()
    shutil.copytree(images, tmp_path / "some" / "below")
    closed = str(tmp_path / "some" / "below" / "one")
    scandir = os.scandir

    def refusing(path):
        if path == closed:
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)  # whom no file's mode keeps out: root
    files, wrong = find_images([str(tmp_path / "empty"), str(tmp_path / "some")])
    assert [Path(file).parent.name for file in files] == ["two", "two"]
    assert wrong[0].startswith(f"{tmp_path / 'empty'}: no images there")
    assert wrong[1:] == [f"{closed}: cannot be read (Permission denied)."]


def _cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def _saved_by_others(version: Path) -> None:
    shutil.rmtree(version)
    tf.saved_model.save(tf.Module(), str(version))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: _cut(folder / "saved_model.pb", 0), "damaged, or no SavedModel"),
        (lambda folder: _cut(folder / "saved_model.pb", 5000), ".*OSError"),
        (lambda folder: shutil.rmtree(folder / "variables"), ".*NotFound"),
        (lambda folder: _cut(next((folder / "variables").glob("*.data-*")), 500), ""),
        (_saved_by_others, ".*serving_default"),
    ],
    ids=["empty", "cut", "without variables", "cut variables", "of others"],
)
def test_a_saved_model_that_cannot_be_used_is_named(damage, message, kept, tmp_path):
    version = Path(shutil.copytree(kept / "served" / "00000001", tmp_path / "1"))
    damage(version)
    with pytest.raises(CheckpointError, match=f"{version}: cannot be used: .*{message}"):
        open_classifier(str(version))


def test_a_saved_model_without_labels_needs_them(kept, tmp_path):
    version = Path(shutil.copytree(kept / "served" / "00000001", tmp_path / "1"))
    (version / "assets" / "labels.txt").unlink()
    with pytest.raises(CheckpointError, match=r"labels\.txt: is missing. Give .* `labels`, a file"):
        open_classifier(str(version))
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    opened = open_classifier(str(version), labels=str(tmp_path / "names.txt"))
    assert opened.class_names == ("a", "b", "c")
