"""Ten thousand damaged files; `benchmarks/fuzz_torch_reader.py` runs more of the same."""

import random

from tests.support.weights.fuzzing import fuzz, mutate

CASES = 10_000
MOST_SECONDS = 2.0


def test_damaged_files_are_refused_or_load_unchanged(tmp_path):
    tally = fuzz(tmp_path, seed=0, cases=CASES, most_seconds=MOST_SECONDS)
    assert not tally.faults
    assert tally.outcomes.total() == CASES
    assert tally.outcomes["refused"] > CASES // 2
    assert tally.outcomes["same"] and tally.outcomes["different"]


def test_a_mutant_differs_from_its_original_and_depends_on_the_seed_alone():
    data = bytes(range(256))
    first, again = (mutate(data, random.Random(1)) for _ in range(2))
    assert first == again != data
