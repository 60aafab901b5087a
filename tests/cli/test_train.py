import json
import os
import shlex
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from keras.saving import load_model
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from t2t_keras.cli import train as module
from t2t_keras.cli.flags import parse
from t2t_keras.cli.main import main
from t2t_keras.errors import RunInterrupted
from t2t_keras.weights.convert import write_model
from t2t_keras.weights.formats import ModelMetadata, read_metadata
from tests.support.running import ROOT, SETTINGS, train_line


@pytest.fixture
def metrics(finished) -> dict:
    return json.loads((finished.folder / "metrics.json").read_text())


def test_a_run_leaves_all_its_files(finished):
    plots = {"confusion_matrix.png", "curves.png", "mistakes.png", "per_class.png"}
    others = ".export.lock .lock 1 checkpoints inspection.json labels.txt log.csv metrics.json "
    others += "model.keras per_class.csv settings.json tensorboard"
    assert {path.name for path in finished.folder.iterdir()} == {*plots, *others.split()}
    readme = (ROOT / "README.md").read_text("utf-8")
    for path in finished.folder.iterdir():
        assert path.name.startswith(".") or f"`{path.name}" in readme
    assert (finished.folder / "1" / "saved_model.pb").is_file()
    (events,) = (finished.folder / "tensorboard" / "report").iterdir()
    shown = EventAccumulator(str(events), {"tensors": 0}).Reload()
    assert shown.Tags()["tensors"] == ["curves", "confusion_matrix", "per_class", "mistakes"]
    for name in plots:
        with Image.open(finished.folder / name) as image:
            assert len(image.getcolors(image.width * image.height)) > 10
            (event,) = shown.Tensors(name.removesuffix(".png"))
            pixels = tf.io.decode_png(event.tensor_proto.string_val[2])
            np.testing.assert_array_equal(pixels, image.convert("RGB"))


def test_the_report_has_the_scores_of_each_class(finished, metrics):
    names = ("ash", "elm", "oak")
    assert (finished.folder / "labels.txt").read_text() == "ash\nelm\noak\n"
    heading, *rows = (finished.folder / "per_class.csv").read_text().splitlines()
    assert heading == "class,precision,recall,f1,support"
    columns = list(zip(*(row.split(",") for row in rows), strict=True))
    assert (columns[0], columns[4]) == (names, ("2", "2", "2"))
    recalls = [float(recall) for recall in columns[2]]
    assert np.mean(recalls) == pytest.approx(metrics["test_accuracy"])  # the classes are equal
    assert metrics["per_class"]["recall"] == recalls
    metadata = ModelMetadata(names, 0.8, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    assert read_metadata(finished.folder / "model.keras") == metadata


def test_metrics_hold_the_result_and_every_setting(finished, metrics):
    """The output repeats the result, and has the next steps."""
    assert finished.folder.name.endswith("-little-16x24")
    assert f"6 test images: top-1 {metrics['test_accuracy']:.2%}, after " in finished.stdout
    assert "classified by the SavedModel" in finished.stdout
    assert f"-m t2t_keras evaluate {finished.folder}" in finished.stdout
    assert "INFO" not in finished.stderr
    assert 0 <= metrics["test_accuracy"] <= 1
    assert metrics["test_images"] == 6 and metrics["train_images"] == 18
    assert metrics["selected_on"] == "the 6 images that the test accuracy is measured on"
    settings = metrics["settings"]
    assert settings["dataset"] == str(finished.images) and settings["image_size"] == [16, 24]
    assert settings["crop_pct"] == 0.8 and settings["seed"] == 42


def again(folder: Path, finished, **changes) -> list[str]:
    """The finished run's command line, for the run in a folder."""
    given = {"run_name": folder.name, "dataset": finished.images, **SETTINGS, **changes}
    return train_line(folder.parent, **given)


def test_a_run_that_exists_is_left_alone(finished, capsys):
    assert main([*again(finished.folder, finished), "--noresume"]) == 1
    assert "this run exists already" in capsys.readouterr().err
    assert main(again(finished.folder, finished, lr=1e-4)) == 1
    assert "--lr was 0.0005, now 0.0001" in capsys.readouterr().err


def test_a_finished_run_writes_the_files_that_are_missing(finished, metrics, tmp_path, capsys):
    folder = Path(shutil.copytree(finished.folder, tmp_path / "first"))
    assert main(again(folder, finished)) == 0
    assert "this run is finished, and nothing is missing" in capsys.readouterr().out
    kept = (folder / "model.keras").stat()
    for name in ("curves.png", "metrics.json"):
        (folder / name).unlink()
    # Without a name the run is found by its settings: it is not finished any more.
    assert main(again(folder, finished, run_name=None)) == 0
    assert {*os.listdir(folder)} == {*os.listdir(finished.folder)}
    assert (folder / "model.keras").stat() == kept
    new = json.loads((folder / "metrics.json").read_text())
    same = {"total_seconds": 0, "test_loss": pytest.approx(metrics["test_loss"], rel=1e-6)}
    assert {**new, "total_seconds": 0} == {**metrics, **same}


@pytest.mark.parametrize(
    ("number", "code", "given"),
    [
        (signal.SIGTERM, 143, ["--epochs=3", "--noresume"]),
        (signal.SIGINT, 130, ["--run_name", "that", "--epochs=3", "--resume=false"]),
        (signal.SIGINT, 130, ["-run_name=that", "--resume", "--epochs", "3"]),
    ],
)
def test_a_signal_ends_with_how_to_resume(number, code, given, tmp_path, monkeypatch, capsys):
    def stopped(*args, **kwargs):
        raise RunInterrupted(number)

    monkeypatch.setattr(module, "train", stopped)
    monkeypatch.setattr("sys.argv", ["train_keras.py", *given])
    assert main(train_line(tmp_path, "that", dataset="digits")) == code
    output = capsys.readouterr()
    _, script, *arguments = shlex.split(output.out.splitlines()[-1])
    read, others = parse("train", arguments)
    assert (script, others) == ("train_keras.py", [])
    assert (read.run_name, read.resume, read.epochs) == ("that", True, 3)
    assert f"Stopped by {number.name}" in output.err


def test_runs_that_start_in_one_second_have_folders_of_their_own(tmp_path, monkeypatch):
    begun = []

    def stopped(config, folder, *args, **kwargs):
        folder.joinpath("settings.json").touch()
        begun.append(folder.name)
        raise RunInterrupted(signal.SIGTERM)

    monkeypatch.setattr(module, "train", stopped)
    monkeypatch.setattr("time.strftime", lambda shape: "20260101-000000")
    for _ in range(3):
        main(train_line(tmp_path, None, dataset="digits"))
    assert begun == [f"20260101-000000-t2t_vit_digits-16{end}" for end in ("", "-2", "-3")]


def test_ctrl_c_ends_with_a_line_and_no_half_written_file(finished, tmp_path, monkeypatch, capsys):
    def interrupted(model, part):
        Path(part).write_bytes(b"half")
        raise KeyboardInterrupt

    def write_half(config, result, folder):
        write_model(load_model(finished.folder / "model.keras"), folder / "model.keras")

    monkeypatch.setattr(module, "train", lambda *args, **kwargs: None)
    monkeypatch.setattr(module, "write_files", write_half)
    monkeypatch.setattr("keras.Model.save", interrupted)
    assert main(train_line(tmp_path / "runs", dataset="digits")) == 130
    assert "interrupted" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
