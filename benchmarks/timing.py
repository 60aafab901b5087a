"""Times two ways of doing the same thing, in turn, so that what else the machine does hits both."""

import statistics
import sys
import time
from collections.abc import Callable


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(what: str, others: Callable, ours: Callable, rounds: int) -> None:
    """Writes the median times of both and the median of the ratios, pair by pair.

    Args:
        what: Stands before the figures.
        others: Does the work the other way; waits until its result is there.
        ours: Does it the way of this package.
        rounds: Pairs timed, after one warm-up of each.
    """
    others(), ours()
    pairs = [(_seconds(others), _seconds(ours)) for _ in range(rounds)]
    slow, fast = (1000 * statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(other / own for other, own in pairs)
    sys.stdout.write(f"{what}: other {slow:.0f} ms, ours {fast:.0f} ms, ratio {ratio:.2f}\n")
    sys.stdout.flush()
