"""What a step must do on two devices; one process for all of it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


def assert_same(report, expected, tolerance):
    assert report["back"] and report["steps"] == expected["steps"] == 2
    for name in ("weights", "averages"):
        for values, wanted in zip(report[name], expected[name], strict=True):
            np.testing.assert_allclose(values, wanted, rtol=0, atol=tolerance, err_msg=name)


def test_two_devices_step_as_one():
    script = [sys.executable, "-m", "tests.support.training.two_device_steps"]
    root = Path(__file__).parents[2]
    done = subprocess.run(script, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    one, parts = report["one"], report["two in parts"]
    assert one["history"]["loss"][1] < one["history"]["loss"][0]
    assert np.abs(np.subtract(one["weights"][0], one["averages"][0])).max() > 1e-3
    # Clipped by the norm of the devices' sum; the average moved once a step on both.
    assert_same(parts, one, 1e-7)
    for metric, values in one["history"].items():
        assert parts["history"][metric] == pytest.approx(values, rel=1e-6)
    # Only the second device overflows, and neither steps.
    skipped = report["two in float16, one skipped"]
    assert_same(skipped, one, 2e-5)
    assert np.isnan(skipped["history"]["loss"]).tolist() == [False, True, False]
    # A transfer's optimizer resumes from a file: groups, momentum and count are all in it.
    transfer = report["transfer"]
    assert transfer["loaded"] == transfer["model"]
    for before, after in zip(transfer["before"], transfer["model"], strict=True):
        assert np.abs(np.subtract(after, before)).max() > 1e-4
