"""The notebook runs from top to bottom; a kernel would cost a process and say no more."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOK = EXAMPLES / "explain.ipynb"


def cells(kind: str) -> list[dict]:
    return [c for c in json.loads(NOTEBOOK.read_text("utf-8"))["cells"] if c["cell_type"] == kind]


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The folder the notebook worked in, and its variables."""
    folder, before = tmp_path_factory.mktemp("notebook"), os.getcwd()
    names = {"__name__": "notebook"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [os.fspath(EXAMPLES), *sys.path])
        patch.chdir(folder)
        for number, cell in enumerate(cells("code")):
            exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
    assert os.getcwd() == before
    return folder, names


def test_the_model_of_the_notebook_learns_and_what_it_shows_lies_on_the_shape(executed):
    _, names = executed
    assert names["accuracy"] > 0.9
    for maps in ("evidence", "similar"):
        cells = names[maps].reshape(16, 28)
        row, column = np.unravel_index(cells.argmax(), cells.shape)
        y, x = 1 + 8 * row, 1 + 8 * column
        assert names["mask"][y * 48 // 128, x * 80 // 224] == 1, maps


def test_the_notebook_writes_every_plot_that_it_speaks_of(executed):
    folder, names = executed
    plots = ("attention", "rollout", "stem", "features", "tokens", "grad_cam")
    assert {path.name for path in folder.iterdir()} == {f"{name}.png" for name in plots}
    for path in folder.iterdir():
        with Image.open(path) as image:
            assert min(image.size) > 150
    assert names["image"].shape == (128, 224, 3)


def test_the_notebook_is_kept_with_its_outputs_and_is_small():
    outputs = [output for cell in cells("code") for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    images = [o for o in outputs if "image/png" in o.get("data", {})]
    assert len(images) == 7
    assert NOTEBOOK.stat().st_size < 1_000_000
