"""The SavedModel of a run on another backend, which a process with TensorFlow writes."""

import io
import json
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from t2t_keras.cli import export as command
from t2t_keras.errors import ExportError
from t2t_keras.export import Preprocessing

NAMES = [f"class {number} " + "x" * 200 for number in range(1000)]


def test_the_child_gets_all_and_says_which_version_it_made(tmp_path, monkeypatch):
    """No argument of a process may be as long as these names are together."""
    exported = []

    def export_saved_model(*given):
        exported.append(given)
        return tmp_path / "7"

    def as_a_process(arguments, env, input, **_):
        assert arguments == [sys.executable, "-m", "t2t_keras.cli.export"]
        assert env["KERAS_BACKEND"] == "tensorflow"
        said = io.StringIO()
        monkeypatch.setattr(sys, "stdin", io.StringIO(input))
        monkeypatch.setattr(sys, "stdout", said)
        command.export_given()
        monkeypatch.undo()
        return subprocess.CompletedProcess(arguments, 0, f"a greeting\n{said.getvalue()}", "")

    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(keras.saving, "load_model", lambda path: f"the model in {path}")
    monkeypatch.setattr(command, "export_saved_model", export_saved_model)
    monkeypatch.setattr(subprocess, "run", as_a_process)
    settings = Preprocessing((32, 48), 0.8, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    path = tmp_path / "model.keras"
    assert command.export_run("the run's", path, NAMES, None, settings) == tmp_path / "7"
    (given,) = exported
    assert given[:4] == (f"the model in {path}", NAMES, str(tmp_path), None)
    assert json.dumps(vars(given[4])) == json.dumps(vars(settings))


def test_what_the_child_could_not_do_is_said(tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "ExportError: 3: exists already")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(ExportError, match="model.keras: a SavedModel cannot.*\n.*exists already"):
        command.export_run(None, Path("model.keras"), NAMES, 3, Preprocessing())
