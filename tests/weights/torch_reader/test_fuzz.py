"""Ten thousand damaged files; `benchmarks/fuzz_torch_reader.py` runs more of the same."""

from tests.support.weights.fuzzing import fuzz

CASES = 10_000
MOST_SECONDS = 2.0


def test_damaged_files_are_refused_or_load_unchanged(tmp_path):
    tally = fuzz(tmp_path, seed=0, cases=CASES, most_seconds=MOST_SECONDS)
    assert not tally.faults
    assert tally.outcomes.total() == CASES
    assert tally.outcomes["refused"] > CASES // 2
    assert tally.outcomes["same"] and tally.outcomes["different"]
