"""Steps and runs on two devices; one fresh process for all of it."""

import json

import numpy as np
import pytest

from tests.support.running import run_python


@pytest.fixture(scope="module")
def report(images, tmp_path_factory):
    run = tmp_path_factory.mktemp("two_devices") / "run"
    done = run_python("-m", "tests.support.training.two_devices", images, run)
    return json.loads(done.stdout)


def test_two_devices_train_and_evaluate_as_one(finished, report):
    one, _ = finished
    assert (one.replicas, report["replicas"]) == (1, 2)
    for name, values in one.history.items():
        np.testing.assert_allclose(
            report["history"][name], values, rtol=1e-5, atol=1e-6, err_msg=name
        )
    # 7 test images in batches of 4: the last one has 3, not 4 to share out.
    assert report["test_loss"] == pytest.approx(one.scores.loss, rel=1e-5)
    assert report["confusion"] == one.scores.confusion.tolist()
    assert report["masks"][0] != report["masks"][1]
    assert report["same"]
    # One device resumes with the sums of both.
    assert {"metrics/loss/total", "metrics/loss/count"} <= report["sums"].keys()
    for key, (first, second, whole) in report["sums"].items():
        assert min(first, second) > 0 and whole == pytest.approx(first + second), key


def assert_same(report, expected, tolerance):
    assert report["back"] and report["steps"] == expected["steps"] == 2
    for name in ("weights", "averages"):
        for values, wanted in zip(report[name], expected[name], strict=True):
            np.testing.assert_allclose(values, wanted, rtol=0, atol=tolerance, err_msg=name)


def test_two_devices_step_as_one(report):
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
