"""Runs that are killed, damaged and started again."""

import json

from tests.support.running import run_python


def test_a_run_that_is_killed_five_times_ends_as_if_it_never_was():
    """In a fresh process, which must not have used TensorFlow before it forks.

    Each life costs seconds; the command takes as many kills as one likes.
    """
    quick = ("--kills=5", "--jobs=1", "--stem=convolution")
    done = run_python("-m", "benchmarks.kill_runs", *quick)
    tally = json.loads(done.stdout.splitlines()[-1])
    assert tally["kills"] == 5 and tally["runs"] >= 1 and tally["different"] == 0
    assert tally["terminated"] == 1 and tally["in_save"] >= 1 and tally["damaged"] >= 1
