"""The cost of `import t2t_keras`, and the files that Keras opens after it."""

import ast
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import t2t_keras
from t2t_keras.training import PerEpoch, transfer_optimizer

ROOT = Path(__file__).parent.parent
OLD = ROOT / "tests" / "goldens" / "before_moves"
KINDS = ("performer", "ghost_transformer", "dense", "squeeze_excite_convolution")
HEAVY = {"matplotlib", "requests", "sklearn", "tensorflow", "tensorflow_datasets"}
MAX_SECONDS = 0.3
TRIES = 5  # the machine may be busy with something else
NEEDS_JAX = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="the extra [jax] installs JAX, [test] does not"
)
BACKENDS = ["tensorflow", pytest.param("jax", marks=NEEDS_JAX)]


def child(code: str, *arguments: str, backend: str = "tensorflow") -> dict:
    """Runs code in a fresh process without torch, and returns the JSON of its last line."""
    start = "import json, sys, time, tests.support.no_torch"
    done = subprocess.run(
        [sys.executable, "-c", f"{start}\n{code}", *arguments],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def tops(modules: list[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def quickest(code: str) -> float:
    """Seconds that the code says it takes, of the first run within the limit."""
    seconds = (child(code)["seconds"] for _ in range(TRIES))
    return next((each for each in seconds if each <= MAX_SECONDS), float("inf"))


def test_import_alone_takes_no_time_and_loads_no_dependency():
    code = """
started = time.perf_counter()
import t2t_keras
dir(t2t_keras), t2t_keras.Variant, t2t_keras.CheckpointError
from t2t_keras import cli, data, errors, export, files, images, training, visualize, weights
seconds = time.perf_counter() - started
print(json.dumps({"seconds": seconds, "modules": [*sys.modules]}))
"""
    assert quickest(code) <= MAX_SECONDS
    assert not tops(child(code)["modules"]) & {*HEAVY, "PIL", "jax", "keras", "numpy"}


def test_after_keras_it_is_quick_and_loads_nothing_heavy_before_it_is_used():
    code = """
import keras
before, started = {*sys.modules}, time.perf_counter()
import t2t_keras
seconds, added = time.perf_counter() - started, [*{*sys.modules} - before]
t2t_keras.data.open_source, t2t_keras.training.train, t2t_keras.export.export_model
in_all = [*{*sys.modules} - before]
print(json.dumps({"seconds": seconds, "added": added, "in_all": in_all}))
"""
    assert quickest(code) <= MAX_SECONDS
    modules = child(code)
    assert not tops(modules["added"]) & HEAVY
    assert {"t2t_keras.data.pipeline", "t2t_keras.training.run"} <= {*modules["in_all"]}
    assert not tops(modules["in_all"]) & {"matplotlib", "sklearn", "tensorflow_datasets"}


@NEEDS_JAX
def test_on_jax_models_and_plots_need_no_tensorflow():
    code = """
import keras
before = {*sys.modules}
from t2t_keras import *
T2TViT14, Variant
added = [*{*sys.modules} - before]
from t2t_keras.visualize import *
print(json.dumps({"added": added, "in_all": [*sys.modules]}))
"""
    modules = child(code, backend="jax")
    assert not tops(modules["added"]) & HEAVY
    assert not {*modules["added"]} & {"t2t_keras.data.pipeline", "t2t_keras.training.run"}
    assert "t2t_keras.visualize.plot" in modules["in_all"]
    assert "tensorflow" not in modules["in_all"]


def registered() -> list[str]:
    """Names under which the package registers classes with Keras, read off its source."""
    trees = (ast.parse(path.read_text("utf-8")) for path in (ROOT / "t2t_keras").rglob("*.py"))
    classes = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return [
        f"t2t_keras>{node.name}"
        for node in classes
        if any("register_keras_serializable" in ast.unparse(d) for d in node.decorator_list)
    ]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> Path:
    """A file whose model was compiled with an optimizer and a schedule of this package."""
    variant = t2t_keras.Variant(embed_dim=8, depth=1, num_heads=1, mlp_ratio=1.0, token_dim=4)
    model = t2t_keras.T2TViT(variant, input_shape=(16, 16, 3), classes=2)
    rates = PerEpoch((0.1, 0.01), steps_per_epoch=3)
    model.compile(transfer_optimizer(model, rates), "categorical_crossentropy")
    path = tmp_path_factory.mktemp("compiled") / "model.keras"
    model.save(path)
    return path


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("first", ["keras", "t2t_keras"])
def test_keras_opens_every_file_in_whichever_order_both_are_imported(first, backend, compiled):
    """Files that are older than the modules' present names, too."""
    kinds = KINDS if backend == "tensorflow" else ()  # JAX takes a minute to build one
    code = f"""
import {first}, importlib.util
importlib.util.find_spec("keras")  # does not import it
import t2t_keras, keras, numpy
compiled, *names = sys.argv[1:]
unknown = [name for name in names if keras.saving.get_registered_object(name) is None]
with numpy.load("{OLD}/logits.npz") as arrays:
    expected = dict(arrays)
errors = []
for kind in {kinds}:
    model = keras.saving.load_model(f"{OLD}/{{kind}}.keras")
    logits = model.predict(expected["images"], verbose=0)
    errors.append(float(abs(logits - expected[kind]).max()))
loaded = [*sys.modules]  # so far: Keras itself loads TensorFlow for a compiled model
optimizer = keras.saving.load_model(compiled).optimizer
module, rates = type(optimizer).__module__, optimizer.get_config()["learning_rate"]["config"]
answer = {{"unknown": unknown, "errors": errors, "module": module, "rates": rates}}
print(json.dumps({{**answer, "modules": loaded}}))
"""
    names = registered()
    assert len(names) > 20
    answer = child(code, str(compiled), *names, backend=backend)
    assert answer["unknown"] == []
    assert len(answer["errors"]) == len(kinds) and max(answer["errors"], default=0) <= 1e-5
    assert answer["module"] == "t2t_keras.training.optimizers.optimizer"
    assert answer["rates"] == {"rates": [0.1, 0.01], "steps_per_epoch": 3}
    assert not {"t2t_keras.data.pipeline", "t2t_keras.training.run"} & {*answer["modules"]}
    assert backend == "tensorflow" or "tensorflow" not in answer["modules"]
