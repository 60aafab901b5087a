import dataclasses
import os
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from t2t_keras.cli import export, report
from t2t_keras.cli.main import main
from t2t_keras.cli.report import export_run
from t2t_keras.data.sources.source import open_source
from t2t_keras.errors import ExportError
from t2t_keras.files import atomic_path, remove_leftovers
from t2t_keras.training import Scores, TrainResult, make_config
from t2t_keras.training.evaluation import Mistake
from t2t_keras.training.sources import RunSources
from tests.support.processes import result_of

NAMES = ("ash", "elm")
PLOTS = ("plot_curves", "plot_confusion", "plot_classes", "plot_mistakes")
SCORES = Scores(
    accuracy=0.5,
    top5_accuracy=1.0,
    loss=1.0,
    confusion=np.array([[2, 1], [2, 1]]),
    # Worst first, which is no order of the images: 4 is elm's second one, 1 ash's.
    mistakes=(Mistake(4, 1, 0, 0.987), Mistake(1, 0, 1, 0.75), Mistake(3, 1, 0, 0.5)),
)


def color(place: int) -> tuple[int, int, int]:
    return (40 * place, 255 - 40 * place, 7)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Six test images, three a class, each of a color and a size of its own."""
    root = tmp_path_factory.mktemp("images")
    for place in range(6):
        for part in ("train", "val"):
            folder = root / part / NAMES[place // 3]
            folder.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20 + place, 18), color(place)).save(folder / f"{place}.png")
    return open_source(root)


@pytest.fixture
def drawn(monkeypatch):
    """The arguments of each plot."""
    calls = {}
    for name in PLOTS:
        monkeypatch.setattr(report, name, lambda *given, name=name: calls.update({name: given}))
    return calls


@pytest.fixture
def result(source):
    history = {"loss": [1.0, 0.5]}
    sources = RunSources(source, source, "them")
    return TrainResult(None, sources, history, 1, SCORES, fit_seconds=1.0, replicas=1)


@pytest.fixture
def fake_writers(monkeypatch):
    """Replaces the writers by some of files that hold their names; one kills its process."""
    victim = []

    def write(*given):
        (path,) = (one for one in given if isinstance(one, Path))
        with atomic_path(path) as part:
            part.write_text("half")
            if path.name in victim:
                os._exit(9)
            part.write_text(path.name)

    def export(model, path):
        write(path.parent / "1")

    for name in ("write_model", "write_labels", "_write_table", *PLOTS):
        monkeypatch.setattr(report, name, write)
    monkeypatch.setattr(report, "_images_at", lambda places, source: places)
    monkeypatch.setattr(report, "_show_in_tensorboard", lambda folder, plots: None)
    monkeypatch.setattr(report, "export_run", export)
    return victim


@pytest.mark.parametrize("name", report.FILES)
def test_a_run_killed_between_its_files_writes_the_rest(
    name, source, result, fake_writers, tmp_path
):
    config = make_config(dataset=source.name, model="t2t_vit_7")
    fake_writers.append(name)
    (tmp_path / "checkpoints").mkdir()
    assert result_of(lambda: report.write_files(config, result, tmp_path)) == (9, None)
    whole = {path for path in tmp_path.iterdir() if path.name in report.FILES}
    assert len(whole) == report.FILES.index(name) and tmp_path / name not in whole
    fake_writers.clear()
    remove_leftovers(tmp_path)  # as every start does
    for path in whole:
        path.write_text("of an earlier epoch")
    os.utime(tmp_path / "checkpoints")
    report.write_files(config, result, tmp_path)
    written = {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()}
    assert written == {each: each for each in report.FILES}


def draw(source, result, folder) -> None:
    config = make_config(dataset=source.name, model="t2t_vit_7")
    for name, write in report._writers(config, result).items():
        if name in report.PLOTS:
            write(folder / name)


def test_each_plot_gets_its_part_of_the_result(source, result, drawn, tmp_path):
    draw(source, result, tmp_path)
    title = f"t2t_vit_7 on {source.name}: 50.00% of 6 test images"
    assert drawn["plot_curves"] == (result.history, tmp_path / "curves.png", title, 1)
    confusion, *rest = drawn["plot_confusion"]
    assert confusion is SCORES.confusion
    assert rest == [NAMES, tmp_path / "confusion_matrix.png", title]
    scores, *rest = drawn["plot_classes"]
    assert scores["recall"].tolist() == [2 / 3, 1 / 3]
    assert scores["precision"].tolist() == [0.5, 0.5]
    assert rest == [NAMES, tmp_path / "per_class.png", title]
    images, captions, path, title = drawn["plot_mistakes"]
    assert path.name == "mistakes.png" and title.endswith("the most confident mistakes")
    assert [image.shape for image in images] == [(18, 20 + n, 3) for n in (4, 1, 3)]
    assert [tuple(image[0, 0]) for image in images] == [color(n) for n in (4, 1, 3)]
    assert captions == ["98.7% ash\nlabel: elm", "75.0% elm\nlabel: ash", "50.0% ash\nlabel: elm"]
    perfect = dataclasses.replace(SCORES, mistakes=())
    draw(source, dataclasses.replace(result, scores=perfect), tmp_path)
    assert drawn["plot_mistakes"][:2] == ([], [])


def test_on_another_backend_a_process_with_tensorflow_exports_the_run(
    finished, tmp_path, monkeypatch, capsys
):
    """The class names, of any number and length, come to it in the model's file."""
    exported = []

    def export_saved_model(model, names, folder, version, preprocessing, top):
        exported.append((list(names), folder, version, preprocessing.crop_pct))
        return tmp_path / "7"

    def as_a_process(arguments, env, **_):
        start, command = arguments[1:3], arguments[3:]
        assert start == ["-m", "t2t_keras"] and env["KERAS_BACKEND"] == "tensorflow"
        monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
        code, said = main(command), f"a greeting\n{capsys.readouterr().out}"
        return subprocess.CompletedProcess(arguments, code, said)

    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(export, "export_saved_model", export_saved_model)
    monkeypatch.setattr(subprocess, "run", as_a_process)
    assert export_run(None, finished.folder / "model.keras") == tmp_path / "7"
    assert exported == [(["ash", "elm", "oak"], finished.folder, None, 0.8)]


def test_a_failed_export_by_another_process_is_reported(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "ExportError: 3: exists already")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(ExportError, match="model.keras: cannot be exported.*\n.*exists already"):
        export_run(None, Path("model.keras"))
