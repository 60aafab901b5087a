"""Feeds damaged checkpoints to `read_torch_checkpoint`; run from the repository's root as

    python -m benchmarks.fuzz_torch_reader --n 100000 --seed 0 --jobs 2

Exits with 1 if a file raised something other than CheckpointError, took over 2 s, or was a zip file
(not zipped again after the damage) that loaded with other contents, or if a process used too much
memory.
"""

import argparse
import logging
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

from tests.support.weights.fuzzing import Tally, fuzz

CASES_PER_TASK = 1000
MOST_SECONDS = 2.0
MOST_RESIDENT_GROWTH = 512 << 20
SHOWN_FAULTS = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=100_000, help="number of damaged files")
    parser.add_argument("--seed", type=int, default=0, help="decides every file")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    flags = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sizes = [CASES_PER_TASK] * (flags.n // CASES_PER_TASK) + [flags.n % CASES_PER_TASK]
    tasks = [(f"{flags.seed}-{task}", size) for task, size in enumerate(sizes) if size]
    start, total, growth = time.perf_counter(), Tally(), 0
    with multiprocessing.Pool(flags.jobs) as pool:
        for tally, grown in pool.imap_unordered(_task, tasks):
            total.outcomes += tally.outcomes
            total.faults += tally.faults
            total.slowest = max(total.slowest, tally.slowest)
            growth = max(growth, grown)
    seconds = time.perf_counter() - start
    logging.info("%d files in %.0f s: %s", flags.n, seconds, dict(total.outcomes))
    logging.info("slowest %.2f s, memory grew by %d MiB", total.slowest, growth >> 20)
    for fault in total.faults[:SHOWN_FAULTS]:
        logging.error(fault)
    return int(bool(total.faults) or growth > MOST_RESIDENT_GROWTH)


def _task(task: tuple[str, int]) -> tuple[Tally, int]:
    """Runs some cases; returns the growth of the process' peak memory in bytes beside the tally."""
    seed, cases = task
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        tally = fuzz(Path(folder), seed, cases, MOST_SECONDS)
    tally.faults = [f"seed {seed}, {fault}" for fault in tally.faults]
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return tally, (after - before) * 1024


if __name__ == "__main__":
    sys.exit(main())
