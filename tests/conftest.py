"""Fixtures of all tests: the authors' numbers, and quiet, repeatable runs."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import gc
import importlib
import json
import random
import shutil
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).parent / "goldens"
MEMORY = Path("/dev/shm")  # Linux's file system in memory

# Checkpoints are flushed to disk, which takes minutes in all on a slow one.
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 4 << 30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

# JAX compiles every op for itself: all processes of the tests share what one of them has compiled,
# and none spends time on optimizing what runs once.
if os.environ.get("KERAS_BACKEND") == "jax" and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _compiled = tempfile.TemporaryDirectory()
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _compiled.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    quick = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    os.environ.setdefault("XLA_FLAGS", quick)


# Folders, files and tests that take seconds. The others are `-m "not slow"`: under a minute in all.
SLOW = (
    *("applications/", "cli/", "data/", "examples/", "export/", "training/", "visualize/"),
    *("weights/test_convert.py", "weights/test_download.py", "weights/test_formats.py"),
    *("weights/test_identify.py", "weights/test_load.py", "weights/test_mapping.py"),
    *("layers/test_every_layer.py", "weights/torch_reader/test_security.py"),
    *("test_configs.py", "test_import.py", "test_keras_habits.py", "test_types.py"),
    *("test_readme.py::test_python_examples_run", "test_readme.py::test_a_folder_of_images"),
)


def pytest_collection_modifyitems(items):
    """Marks the tests in `SLOW`."""
    for item in items:
        if item.nodeid.removeprefix("tests/").startswith(SLOW):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish():
    """Leaves what is imported by now out of later collections, which Keras asks for very often."""
    gc.collect()
    gc.freeze()


def pytest_configure(config):
    """Starts the backend with what makes small tests quick, in each process that runs some."""
    hands_out = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    keras = None if hands_out else importlib.import_module("keras")
    if keras and keras.config.backend() == "tensorflow":
        config.pluginmanager.register(importlib.import_module("tests.support.quick_graphs"))
    elif keras and keras.config.backend() == "jax":  # it compiles a draw for each shape
        keras.initializers.RandomNormal.__call__ = _drawn_by_numpy


def _drawn_by_numpy(initializer, shape, dtype=None):
    return np.random.normal(initializer.mean, initializer.stddev, shape).astype("float32")


@pytest.fixture(autouse=True)
def _repeatable():
    """Seeds Python's generator, which Keras draws its seeds from, and NumPy's.

    `keras.utils.set_random_seed` would also clear TensorFlow's caches, for half a second a test.
    """
    random.seed(0)
    np.random.seed(0)


@pytest.fixture(scope="session")
def golden() -> dict:
    """Counts, checkpoint keys and logits of every published variant at its real size."""
    return json.loads((DATA / "full_size.json").read_text())


@pytest.fixture(scope="session")
def tiny_expected() -> dict:
    """Images, logits and intermediate outputs of the two tiny models."""
    with np.load(DATA / "tiny_expected.npz") as arrays:
        return dict(arrays)


def official_weights(name: str, shape) -> np.ndarray:
    """The weights that the full-size numbers were computed with, from a key and shape alone."""
    values = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if "norm" in name and name.endswith("weight"):
        values = 1 + 0.1 * values
    elif len(shape) == 1:
        values = 0.05 * values
    elif name == "pos_embed":
        values = 0.3 * values
    elif name.endswith(".w"):
        values = values * np.sqrt(shape[0] / shape[1])
    else:
        gain = 0.35 if "kqv" in name else 0.7
        values = values * gain / np.sqrt(np.prod(shape[1:]))
    return values.astype(np.float32)
