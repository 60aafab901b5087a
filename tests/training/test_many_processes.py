"""Training on JAX: one process and several give the same, also after they were killed."""

import json
import os
import signal

import numpy as np
import pytest

from t2t_keras.training.devices.processes import HEARTBEAT
from tests.support.running import run_python


@pytest.fixture(scope="module")
def runs(images, tmp_path_factory):
    """The report of `jax_processes`, and its folder."""
    pytest.importorskip("jax", reason="the extra [test] alone does not install JAX; [jax] does")
    root = tmp_path_factory.mktemp("jax")
    environment = {
        "KERAS_BACKEND": "jax",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",  # compiling takes longer than running
        "JAX_COMPILATION_CACHE_DIR": str(root / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    done = run_python("-m", "tests.support.training.jax_processes", images, root, **environment)
    report = json.loads((root / "report.json").read_text())
    codes = {"alone": [0], "killed": [1, -signal.SIGKILL], "again": [0, 0]}
    assert report["codes"] == codes, done.stderr
    return {**report, "said": done.stdout + done.stderr}, root


def test_a_process_whose_other_one_is_killed_says_so_and_ends_before_long(runs):
    report, _ = runs
    assert "TrainingError: Another process of this run has ended" in report["said"]
    assert report["alone_for"] < HEARTBEAT + 30


def test_two_processes_of_which_one_was_killed_end_like_one(runs):
    report, _ = runs
    assert report["killed"] == []
    (alone,), together = report["alone"], report["together"]
    assert len(together) == 2 and together[0] == together[1]
    assert (alone["replicas"], together[0]["replicas"]) == (2, 2)
    assert alone["history"].keys() == together[0]["history"].keys() >= {"loss", "val_ema_loss"}
    assert np.ptp(alone["history"]["loss"]) > 1e-3
    for name, values in alone["history"].items():
        found = together[0]["history"][name]
        np.testing.assert_allclose(found, values, rtol=0, atol=1e-5, err_msg=name)
    assert together[0]["test_loss"] == pytest.approx(alone["test_loss"], abs=1e-5)
    assert together[0]["confusion"] == alone["confusion"]
    assert np.sum(alone["confusion"]) == 7


def test_the_first_process_writes_as_one_does(runs):
    _, root = runs
    alone, together = root / "alone", root / "together"
    names, others = ({*os.listdir(run)} for run in (alone, together))
    assert others - {"report-1.json"} == names  # which this test's second process writes
    assert names >= {"checkpoints", "log.csv", "settings.json", "tensorboard"}
    kept = sorted(os.listdir(alone / "checkpoints"))
    assert kept == sorted(os.listdir(together / "checkpoints"))
    assert kept[-1] == "step-00000004.safetensors"
    lines, others = ((run / "log.csv").read_text().splitlines() for run in (alone, together))
    assert lines[0] == others[0] and len(lines) == len(others) == 3
