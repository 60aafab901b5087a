"""The cost of `import t2t_keras`, and the files that Keras opens after it."""

import ast
import importlib.util
import json
from pathlib import Path

import pytest

import t2t_keras
from t2t_keras.training import PerEpoch, build_optimizer
from tests.conftest import DATA
from tests.support.running import ROOT, run_python

OLD = DATA / "before_moves"
HEAVY = {"matplotlib", "requests", "sklearn", "tensorflow", "tensorflow_datasets"}
LARGE_MODULES = {"t2t_keras.data.pipeline", "t2t_keras.training.run"}
MAX_SECONDS = 0.3
TRIES = 5  # the machine may be busy with something else
NEEDS_JAX = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="the extra [jax] installs JAX, [test] does not"
)


def answer_of(code: str, *arguments: str, backend: str = "tensorflow") -> dict:
    """The value that code leaves in `answer`, in a fresh process without torch."""
    code = f"import json, sys, time, tests.support.no_torch\n{code}\nprint(json.dumps(answer))"
    done = run_python("-c", code, *arguments, KERAS_BACKEND=backend)
    return json.loads(done.stdout.splitlines()[-1])


def tops(modules: list[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def quick_answer_of(code: str) -> dict:
    """The answer of the first run that takes no more seconds than it may."""
    for _ in range(TRIES):
        answer = answer_of(code)
        if answer["seconds"] <= MAX_SECONDS:
            return answer
    pytest.fail(f"it takes {answer['seconds']:.2f} s")


def test_import_alone_takes_no_time_and_loads_no_dependency():
    answer = quick_answer_of("""
started = time.perf_counter()
import t2t_keras
dir(t2t_keras), t2t_keras.Variant, t2t_keras.CheckpointError
from t2t_keras import cli, data, errors, export, files, images, training, visualize, weights
answer = {"seconds": time.perf_counter() - started, "modules": [*sys.modules]}
""")
    assert not tops(answer["modules"]) & {*HEAVY, "PIL", "jax", "keras", "numpy"}


def test_after_keras_it_is_quick_and_loads_nothing_heavy_before_it_is_used():
    answer = quick_answer_of("""
import keras
before, started = {*sys.modules}, time.perf_counter()
import t2t_keras
answer = {"seconds": time.perf_counter() - started, "added": [*{*sys.modules} - before]}
t2t_keras.data.open_source, t2t_keras.training.train, t2t_keras.export.export_model
answer["in_all"] = [*{*sys.modules} - before]
""")
    assert not tops(answer["added"]) & HEAVY
    assert LARGE_MODULES <= {*answer["in_all"]}
    assert not tops(answer["in_all"]) & {"matplotlib", "sklearn", "tensorflow_datasets"}


@NEEDS_JAX
def test_on_jax_models_and_plots_need_no_tensorflow():
    code = """
import keras
before = {*sys.modules}
from t2t_keras import *
T2TViT14, Variant
added = [*{*sys.modules} - before]
from t2t_keras.visualize import *
answer = {"added": added, "in_all": [*sys.modules]}
"""
    answer = answer_of(code, backend="jax")
    assert not tops(answer["added"]) & HEAVY
    assert not {*answer["added"]} & LARGE_MODULES
    assert "t2t_keras.visualize.plot" in answer["in_all"]
    assert "tensorflow" not in answer["in_all"]


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
    optimizer = build_optimizer(model, rates, 5e-4, "sgd", backbone_lr_ratio=0.01)
    model.compile(optimizer, "categorical_crossentropy")
    path = tmp_path_factory.mktemp("compiled") / "model.keras"
    model.save(path)
    return path


@pytest.mark.parametrize(
    ("first", "backend"),
    [
        ("keras", "tensorflow"),
        ("t2t_keras", "tensorflow"),
        pytest.param("t2t_keras", "jax", marks=NEEDS_JAX),
    ],
)
def test_keras_opens_every_file_in_whichever_order_both_are_imported(first, backend, compiled):
    """A file that is older than the modules' present names, too."""
    code = f"""
import {first}, importlib.util
importlib.util.find_spec("keras")  # does not import it
import t2t_keras, keras, numpy
compiled, *names = sys.argv[1:]
unknown = [name for name in names if keras.saving.get_registered_object(name) is None]
error = 0.0
if "{backend}" == "tensorflow":  # JAX takes a minute to build it
    model, arrays = keras.saving.load_model("{OLD}/dense.keras"), numpy.load("{OLD}/logits.npz")
    error = float(abs(model.predict(arrays["images"], verbose=0) - arrays["dense"]).max())
loaded = [*sys.modules]  # so far: Keras itself loads TensorFlow for a compiled model
optimizer = keras.saving.load_model(compiled).optimizer
module, rates = type(optimizer).__module__, optimizer.get_config()["learning_rate"]["config"]
answer = dict(unknown=unknown, error=error, loaded=loaded, module=module, rates=rates)
"""
    names = registered()
    assert len(names) > 20
    answer = answer_of(code, str(compiled), *names, backend=backend)
    assert answer["unknown"] == []
    assert answer["error"] <= 1e-5
    assert answer["module"] == "t2t_keras.training.optimizers.optimizer"
    assert answer["rates"] == {"rates": [0.1, 0.01], "steps_per_epoch": 3}
    assert not {*answer["loaded"]} & LARGE_MODULES
    assert backend == "tensorflow" or "tensorflow" not in answer["loaded"]
