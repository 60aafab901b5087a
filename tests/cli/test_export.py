"""`python -m t2t_keras.export`: once as a user runs it, the rest in this process."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import pytest
from absl import flags

from t2t_keras import T2TViT, create_model
from t2t_keras.cli import export
from t2t_keras.cli import models as opened_model
from t2t_keras.cli.export import ExportCommand, preprocessing_of, run
from t2t_keras.cli.models import open_model
from t2t_keras.images import CIFAR_MEAN, CIFAR_STD
from t2t_keras.weights.formats import ModelMetadata
from tests.support.tiny import DATA, tiny_variant

ROOT = Path(__file__).parents[2]
NAMES = ["ash", "elm", "oak"]


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    """What a run leaves of what an export reads."""
    folder = tmp_path_factory.mktemp("runs") / "trees"
    folder.mkdir()
    model = T2TViT(tiny_variant(image_size=32, depth=1), weights=None, classes=3)
    model.save(folder / "model.keras")
    settings = {"image_size": [32, 32], "crop_pct": 0.8}
    (folder / "metrics.json").write_text(json.dumps({"class_names": NAMES, "settings": settings}))
    return folder


def test_a_run_is_exported_with_its_classes_and_settings(finished_run):
    arguments = [str(finished_run), "--format=litert", "--quantize=float16"]
    done = subprocess.run(
        [sys.executable, "-m", "t2t_keras.export", *arguments],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    version = finished_run / "litert-float16" / "1"
    assert done.stdout.splitlines()[-1] == f"wrote {version}"
    assert (version / "model.tflite").stat().st_size > 10_000
    assert (version / "labels.txt").read_text().split() == NAMES
    settings = json.loads((version / "preprocessing.json").read_text())
    assert (settings["image_size"], settings["crop_pct"]) == ([32, 32], 0.8)


def test_a_keras_file_elsewhere_needs_its_labels(finished_run, tmp_path, capsys):
    path = tmp_path / "copy.keras"
    path.write_bytes((finished_run / "model.keras").read_bytes())
    assert run(ExportCommand(source=str(path))) == 1
    assert "--labels must name the 3 classes" in capsys.readouterr().err
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    found = open_model(str(path), labels=str(tmp_path / "labels.txt"))
    assert found.class_names == ("a", "b", "c")
    assert found.folder is None


def test_weights_are_read_with_their_variant_and_the_release_is_known(tmp_path):
    model = create_model("t2t_vit_7", weights=None, classes=2)
    path = tmp_path / "mine.weights.h5"
    model.save_weights(path)
    (tmp_path / "labels.txt").write_text("a\nb\n")
    labels = str(tmp_path / "labels.txt")
    found = open_model(str(path), model_name="t2t_vit_7", labels=labels)
    keras.tree.map_structure(
        lambda mine, theirs: (mine == theirs).all() or pytest.fail("other weights"),
        found.model.get_weights(),
        model.get_weights(),
    )
    assert found.model.input_shape == (None, 224, 224, 3)
    (tmp_path / "three.txt").write_text("a\nb\nc\n")
    with pytest.raises(ValueError, match="has no classifier for 3 classes.*--labels"):
        open_model("t2t_vit_7", weights=str(path), labels=str(tmp_path / "three.txt"))


def test_labels_beside_weights_are_theirs_and_those_of_the_working_folder_are_nobody_s(
    tmp_path, monkeypatch
):
    model = create_model("t2t_vit_7", weights=None, classes=2)
    model.save_weights(tmp_path / "mine.weights.h5")
    (tmp_path / "labels.txt").write_text("\ufeffa\nb\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    opened = open_model("mine.weights.h5", model_name="t2t_vit_7")
    assert opened.class_names == ("a", "b")
    monkeypatch.setattr(opened_model, "load_weights", lambda *given: SimpleNamespace(fresh=()))
    assert open_model("t2t_vit_7").class_names[:2] == ("tench", "goldfish")


def test_what_a_model_was_trained_for_goes_into_the_graph():
    cifar = preprocessing_of(ModelMetadata(("a", "b"), 1.0, "cifar"))
    assert (cifar.mean, cifar.std, cifar.crop_pct) == (CIFAR_MEAN, CIFAR_STD, 1.0)


def test_the_flags_are_the_command_s_fields(monkeypatch):
    from t2t_keras.export import __main__ as script

    seen, values = [], flags.FlagValues()
    script.define_flags(values)
    own = {name for name in values if name not in ("?", "help", "helpshort", "helpfull", "helpxml")}
    fields = {field.name for field in dataclasses.fields(ExportCommand)}
    assert own - {"debug", "model"} == fields - {"source", "model_name"}
    monkeypatch.setattr(export, "run", lambda command, debug: seen.append(command) or 0)
    line = ["-", "mine.pth", "--num_heads=4", "--statistics=cifar", "--warm_up_batches=1,2"]
    assert script.main(values(line), values) == 0
    asked = {"source": "mine.pth", "num_heads": 4, "statistics": "cifar", "warm_up_batches": (1, 2)}
    assert seen == [ExportCommand(**asked)]


def test_heads_and_statistics_of_a_checkpoint_are_taken_from_the_flags(
    tmp_path, monkeypatch, capsys
):
    exported = []
    monkeypatch.setattr(export, "export_model", lambda *given: exported.append(given) or "1")
    (tmp_path / "labels.txt").write_text("abcdefghij".replace("", "\n")[1:])
    asked = {"source": str(DATA / "tiny_performer.pth.tar"), "labels": str(tmp_path / "labels.txt")}
    assert run(ExportCommand(format="litert", num_heads=2, statistics="cifar", **asked)) == 0, (
        capsys.readouterr().err
    )
    (given,) = exported
    assert (given[-1].mean, given[-1].std) == (CIFAR_MEAN, CIFAR_STD)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "missing"}, "MODEL must be a run's folder"),
        ({"source": "t2t_vit_7", "weights": "missing.pth"}, "The `weights` argument should be"),
        ({"weights": "imagenet"}, "--weights goes with a variant's name"),
        ({"format": "torch"}, "--format must be one of savedmodel, onnx, litert, openvino"),
        ({"quantize": "int8"}, "--quantize must be left out with --format=savedmodel"),
        ({"format": "litert", "top": 3}, "--top and --warm_up_batches must be left out"),
        ({"labels": "missing.txt"}, "--labels=missing.txt: cannot be read"),
        ({"image_size": ["64x64"]}, "the model's own, 32x32"),
        ({"crop_pct": 2.0}, "`crop_pct` must be in"),
        ({"statistics": "cifar", "std": (1.0, 1.0, 1.0)}, "--statistics must be left out with"),
        ({"top": 4}, "`top` must be 1 to 3"),
    ],
)
def test_an_error_is_one_clear_message_and_writes_nothing(changes, message, finished_run, capsys):
    before = sorted(finished_run.rglob("*"))
    assert run(ExportCommand(**{"source": str(finished_run), **changes})) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert sorted(finished_run.rglob("*")) == before


def test_a_file_of_weights_without_its_variant_and_a_damaged_model_are_refused(tmp_path, capsys):
    (tmp_path / "mine.weights.h5").write_bytes(b"x")
    (tmp_path / "mine.keras").write_bytes(b"x")
    assert run(ExportCommand(source=str(tmp_path / "mine.weights.h5"))) == 1
    assert "--model must name the variant" in capsys.readouterr().err
    assert run(ExportCommand(source=str(tmp_path / "mine.keras"))) == 1
    assert "cannot be loaded" in capsys.readouterr().err
