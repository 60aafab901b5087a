"""The command `export`: once as a user runs it, the rest in this process."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from t2t_keras import create_model
from t2t_keras.cli import export, models
from t2t_keras.cli.main import main
from t2t_keras.cli.models import open_model
from t2t_keras.images import CIFAR_MEAN, CIFAR_STD
from t2t_keras.weights.convert import write_model
from tests.conftest import DATA
from tests.support.running import line, run_python
from tests.support.tiny import tiny_model

NAMES = ["ash", "elm", "oak"]


def test_a_run_is_exported_with_its_classes_and_settings(finished, tmp_path):
    run = Path(shutil.copytree(finished.folder, tmp_path / "trees"))
    command = ("export", run, "--format=litert", "--quantize=float16")
    done = run_python("-m", "t2t_keras", *command)
    version = run / "litert-float16" / "1"
    assert done.stdout.splitlines()[-1] == f"wrote {version}"
    assert (version / "model.tflite").stat().st_size > 10_000
    assert (version / "labels.txt").read_text().split() == NAMES
    settings = json.loads((version / "preprocessing.json").read_text())
    assert (settings["image_size"], settings["crop_pct"]) == ([16, 24], 0.8)
    own = open_model(str(run)).preprocessing
    assert (own.mean, own.std, own.crop_pct) == ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4), 0.8)


def test_the_classes_of_a_keras_file_without_metadata_can_be_given(tmp_path):
    path = tmp_path / "plain.keras"
    write_model(tiny_model(classes=3), path)
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    opened = open_model(str(path), labels=str(tmp_path / "labels.txt"))
    assert opened.class_names == ("a", "b", "c")
    assert opened.folder is None


def test_weights_are_read_with_their_variant_and_the_labels_beside_them(tmp_path, monkeypatch):
    model = create_model("t2t_vit_7", weights=None, classes=2)
    model.save_weights(tmp_path / "mine.weights.h5")
    (tmp_path / "labels.txt").write_text("\ufeffa\nb\n", encoding="utf-8")
    (tmp_path / "three.txt").write_text("a\nb\nc\n")
    monkeypatch.chdir(tmp_path)
    opened = open_model("mine.weights.h5", model="t2t_vit_7")
    assert opened.class_names == ("a", "b")
    np.testing.assert_equal(opened.model.get_weights(), model.get_weights())
    assert opened.model.input_shape == (None, 224, 224, 3)
    with pytest.raises(ValueError, match="has no classifier for 3 classes.*`labels`"):
        open_model("t2t_vit_7", weights="mine.weights.h5", labels="three.txt")
    # Those in the working folder are not the labels of a release.
    monkeypatch.setattr(models, "load_weights", lambda *given: SimpleNamespace(fresh=()))
    assert open_model("t2t_vit_7").class_names[:2] == ("tench", "goldfish")


def test_flags_change_what_is_known_of_a_checkpoint(tmp_path, monkeypatch, capsys):
    exported = []
    monkeypatch.setattr(
        export, "export_saved_model", lambda *given, **named: exported.append((given, named)) or 1
    )
    (tmp_path / "labels.txt").write_text("abcdefghij".replace("", "\n")[1:])
    known = {"labels": tmp_path / "labels.txt", "num_heads": 2, "statistics": "cifar"}
    asked = {"warm_up_batches": "1,2", "top": 3, "version": 4, "output": tmp_path}
    path = DATA / "tiny_performer.pth.tar"
    assert main(line("export", path, **known, **asked)) == 0, capsys.readouterr().err
    (((*_, folder, version, preprocessing), named),) = exported
    assert (preprocessing.mean, preprocessing.std) == (CIFAR_MEAN, CIFAR_STD)
    assert (folder, version, named) == (tmp_path, 4, {"top": 3, "warm_up_batches": (1, 2)})
