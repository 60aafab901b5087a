"""What `import t2t_keras` costs, and what it leaves alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Keras itself imports several of these where they are installed: only what comes on top counts.
PROBE = """
import json, sys, time
import tests.support.no_torch
import keras
before, started = set(sys.modules), time.perf_counter()
import t2t_keras
seconds = time.perf_counter() - started
added = set(sys.modules) - before
{then}
print(json.dumps([seconds, *map(sorted, (added, set(sys.modules) - before, sys.modules))]))
"""
MAX_SECONDS = 0.3
RUNS = 5
ON_DEMAND = {"matplotlib", "pooch", "requests", "sklearn", "tensorflow", "tensorflow_datasets"}


def probe(backend: str, then: str) -> tuple[float, set[str], set[str], set[str]]:
    """What importing this package costs on top of Keras, and brings.

    Returns:
        Seconds; the top-level modules that came; those that came before `then` was over, too; all
        modules.
    """
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(then=then)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    seconds, added, in_all, everything = json.loads(done.stdout.splitlines()[-1])
    tops = ({name.partition(".")[0] for name in names} for names in (added, in_all))
    return seconds, *tops, set(everything)


def test_import_is_quick_and_rooms_come_when_they_are_asked_for():
    rooms = {"t2t_keras.data", "t2t_keras.training", "t2t_keras.export"}
    quickest = float("inf")
    for _ in range(RUNS):  # the machine may be busy with something else
        seconds, added, in_all, everything = probe("tensorflow", ", ".join(sorted(rooms)))
        assert not added & ON_DEMAND
        assert rooms <= everything and not in_all & {"matplotlib", "sklearn", "tensorflow_datasets"}
        quickest = min(quickest, seconds)
        if quickest <= MAX_SECONDS:
            break
    assert quickest <= MAX_SECONDS


def test_on_jax_neither_tensorflow_nor_a_room_on_demand_is_needed():
    pytest.importorskip("jax", reason="the extra [test] alone does not install JAX; [jax] does")
    _, _, in_all, everything = probe("jax", "from t2t_keras import *; T2TViT14, Variant")
    assert not in_all & ON_DEMAND
    assert not everything & {"t2t_keras.data", "t2t_keras.training", "tensorflow"}


def test_visualize_needs_no_tensorflow():
    pytest.importorskip("jax", reason="the extra [test] alone does not install JAX; [jax] does")
    _, _, _, everything = probe("jax", "t2t_keras.visualize")
    assert "t2t_keras.visualize.plot" in everything
    assert "tensorflow" not in everything
