"""A finished run of `train_keras.py`, trained once for all processes that test, and a quiet log."""

import fcntl
import json
import logging
import os
from pathlib import Path

import pytest

from t2t_keras.training.recipes import SMALL_VARIANTS
from tests.support.images import make_folder
from tests.support.quick_graphs import pytest_runtest_setup, pytest_runtest_teardown
from tests.support.running import MODEL, SETTINGS, FinishedRun, script
from tests.support.training.tiny_run import TINY

__all__ = ["pytest_runtest_setup", "pytest_runtest_teardown"]


@pytest.fixture(autouse=True)
def own_log():
    """`run` takes the package's log for itself; other tests want it back."""
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
    """Not to be changed. pytest-xdist's processes have folders of their own in a common one."""
    common = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        common = common.parent
    root, said = common / "finished", common / "finished.json"
    with open(common / "finished.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            said.write_text(json.dumps(_trained(root)))
    (folder,) = (root / "runs").iterdir()
    return FinishedRun(folder, root / "images", **json.loads(said.read_text()))


def _trained(root: Path) -> dict[str, str]:
    """Three classes, 8 images each; what the command says."""
    images = make_folder(root / "images", {"ash": 8, "elm": 8, "oak": 8})
    given = {name: ",".join(x) if isinstance(x, list) else x for name, x in SETTINGS.items()}
    flags = [f"--{name}={value}" for name, value in {"dataset": images, **given}.items()]
    start = ("-m", "tests.support.quick_script")
    done = script(f"--output_dir={root / 'runs'}", *flags, start=start)
    assert done.returncode == 0, done.stderr
    return {"stdout": done.stdout, "stderr": done.stderr}
