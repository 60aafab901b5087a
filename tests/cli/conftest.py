"""A finished run of `train_keras.py`, trained once for all test processes, and a quiet log."""

import fcntl
import json
import logging
import os
from pathlib import Path

import pytest

from t2t_keras.training.recipes import SMALL_VARIANTS
from tests.support.images import make_folder
from tests.support.running import MODEL, SETTINGS, FinishedRun, line, run_python
from tests.support.training.tiny_run import TINY


@pytest.fixture(autouse=True)
def own_log():
    """Gives the package's log back to other tests: commands take it for themselves."""
    log = logging.getLogger("t2t_keras")
    before = (log.handlers, log.propagate, log.level)
    yield
    log.handlers, log.propagate, log.level = before


@pytest.fixture(scope="session")
def little_model():
    SMALL_VARIANTS[MODEL] = TINY
    yield
    del SMALL_VARIANTS[MODEL]


@pytest.fixture(scope="session")
def finished(little_model, tmp_path_factory) -> FinishedRun:
    """A run that no test may change; the processes of pytest-xdist share it."""
    common = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        common = common.parent
    root, output = common / "finished", common / "finished.json"
    with open(common / "finished.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not output.exists():
            output.write_text(json.dumps(_trained(root)))
    (folder,) = (root / "runs").iterdir()
    return FinishedRun(folder, root / "images", **json.loads(output.read_text()))


def _trained(root: Path) -> dict[str, str]:
    """Three classes, 8 images each; returns the output of the command."""
    images = make_folder(root / "images", {"ash": 8, "elm": 8, "oak": 8})
    arguments = line(dataset=images, output_dir=root / "runs", **SETTINGS)
    done = run_python("-m", "tests.support.quick_script", *arguments)
    return {"stdout": done.stdout, "stderr": done.stderr}
