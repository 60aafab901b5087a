"""Reads constructed and damaged image files in every way; run from the repository's root as

    python -m benchmarks.fuzz_images --n=20000 --seed=0 --jobs=2

Exits with 1 if one of them crashes a way, takes it over 2 s or 512 MiB, is read by one way and
refused by another where docs/images.md does not say so, or is shown with other pixels. The last
numbers are what 64 million transparent pixels cost, as 16 million do.
"""

import argparse
import collections
import dataclasses
import functools
import json
import multiprocessing
import os
import random
import re
import resource
import signal
import sys
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from benchmarks.image_files import fuzzed, is_plain_jpeg
from t2t_keras.data.ops.decode import decode_image
from t2t_keras.data.ops.serving_decode import decode_in_graph
from t2t_keras.errors import DataError
from t2t_keras.images.decode import decode_rgb
from tests.support.images import encode
from tests.support.processes import forked, result_of

CASES_PER_TASK = 1000
MOST_SECONDS = 2.0  # of processor time, of one file in one way
MOST_MEMORY = 512 << 20  # bytes beyond what the process has
_KILLED_AFTER = 120  # seconds, on a busy machine
_ADDRESS_SPACE = 6 << 30
_TRAINING, _SERVED = "training", "served"
WAYS: dict[str, Callable] = {
    "loader": decode_rgb,
    _TRAINING: decode_image,
    _SERVED: decode_in_graph,
}
# What a served graph alone refuses: rows of docs/images.md.
_UNSERVED = (
    "CMYK without",
    "an orientation that is not plainly said",
    "a WebP with",
    "a damaged GIF, or one with two graphic controls",
    "not a JPEG, PNG, WebP, GIF or plain 24-bit BMP image",
)


@dataclasses.dataclass
class Tally:
    """Files by format and result, and what broke a bar."""

    outcomes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    faults: list[str] = dataclasses.field(default_factory=list)
    slowest: float = 0.0  # seconds
    memory: int = 0  # bytes, the most that a file cost

    def add(self, other: "Tally") -> None:
        self.outcomes += other.outcomes
        self.faults += other.faults
        self.slowest = max(self.slowest, other.slowest)
        self.memory = max(self.memory, other.memory)


def fuzz(seed: int | str, cases: int) -> Tally:
    """Reads `cases` files in every way in forked workers, each replaced when it ends too early."""
    tally, case = Tally(), 0
    while case < cases:
        pid, pipe = forked(lambda out, first=case: _work(out, seed, range(first, cases)))
        way = "start"
        with open(pipe, "rb") as lines:
            for line in lines:
                report = json.loads(line)
                if "way" in report:
                    way = report["way"]
                    continue
                case, way = case + 1, "next file"
                faults = [f"case {seed}/{report['case']}: {f}" for f in report["faults"]]
                outcomes = collections.Counter(report["outcomes"])
                tally.add(Tally(outcomes, faults, report["slowest"], report["memory"]))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if case < cases:
            tally.faults.append(f"case {seed}/{case}: crash: {way} ended the process with {code}")
            case += 1
    return tally


def weigh(side: int) -> dict[str, float]:
    """Bytes that each way takes for a pixel of a square RGBA PNG, in a process of its own."""
    files = [encode(np.full((size, size, 4), 99, np.uint8), "PNG") for size in (8, side)]

    def work(way: Callable) -> float:
        peaks = [way(data) is not None and _peak() for data in files]
        return (peaks[1] - peaks[0]) / side**2

    return {name: result_of(functools.partial(work, way))[1] for name, way in WAYS.items()}


def _work(out: int, seed: int | str, cases: range) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for number in range(60):
        _read_all(
            fuzzed(random.Random(number))[1], lambda **_: None
        )  # traces, and fills caches, before memory is measured
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE + _resident("VmSize"),) * 2)
    for case in cases:

        def say(**report) -> None:
            os.write(out, json.dumps(report).encode() + b"\n")

        kind, data = fuzzed(random.Random(f"{seed}/{case}"))
        read = _read_all(data, say)
        say(case=case, **_judged(kind, data, read))


@dataclasses.dataclass
class _Read:
    image: np.ndarray | None
    reason: str  # where it is None
    seconds: float
    memory: int


def _read_all(data: bytes, say: Callable) -> dict[str, _Read]:
    read = {}
    for name, way in WAYS.items():
        say(way=name)
        signal.alarm(_KILLED_AFTER)  # unhandled: it ends the process, whatever that is in
        before = _resident()
        peak, started = _peak(), time.process_time()
        image, reason = None, ""
        try:
            image = np.asarray(way(data))
        except DataError as error:
            reason = str(error)
        except tf.errors.InvalidArgumentError as error:
            known = r"assertion failed: .*|.*Error: .*|Invalid .*|Input .*|Only .*"
            reason = ", ".join(re.findall(known, error.message)) or error.message
        except Exception as error:  # noqa: BLE001 - anything else that comes out is a finding
            reason = f"unexpected {type(error).__name__}: {error}"
        seconds, now = time.process_time() - started, _peak()
        read[name] = _Read(
            image, reason or "?" * (image is None), seconds, now - before if now > peak else 0
        )
    signal.alarm(0)
    return read


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _resident(name: str = "VmRSS") -> int:
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))


def _seen_by_one_decoder(data: bytes, reason: str) -> bool:
    """Tells whether docs/images.md lists a damage as one that not all decoders notice."""
    if data.startswith(b"\xff\xd8\xff"):
        return not is_plain_jpeg(data)
    gif = data.startswith(b"GIF") and ("Invalid GIF data" in reason or "broken data" in reason)
    frames = data.startswith(b"RIFF") and data.count(b"ANMF") > 1
    checksum = data.startswith(b"\x89PNG") and "incorrect data check" in reason
    return gif or checksum or (frames and "could not create decoder" in reason)


def _judged(kind: str, data: bytes, read: dict[str, _Read]) -> dict:
    """The result of a file, and each bar that it broke."""
    faults = []
    for name, one in read.items():
        if one.reason.startswith("unexpected"):
            faults.append(f"{kind}: {name} raises {one.reason}"[:300])
        if one.seconds > MOST_SECONDS:
            faults.append(f"{kind}: {name} takes {one.seconds:.1f} s")
        if one.memory > MOST_MEMORY:
            faults.append(f"{kind}: {name} takes {one.memory >> 20} MiB")
    loader = read["loader"]
    outcome = "refused" if loader.image is None else "read"
    for name in (_TRAINING, _SERVED):
        other = read[name]
        if (loader.image is None) != (other.image is None):
            if name == _SERVED and any(text in other.reason for text in _UNSERVED):
                outcome = "read, but not served"
            elif _seen_by_one_decoder(data, loader.reason + other.reason):
                outcome = "damaged for one decoder"
            else:
                outcome = "fault"
                reason = (loader.reason or other.reason).splitlines()[0]
                who = "the loader" if loader.image is None else name
                faults.append(f"{kind}: {who} alone of it and {name} refuses: {reason[:200]}")
        elif loader.image is not None and not _alike(loader.image, other.image):
            outcome = "fault"
            shapes = loader.image.shape, other.image.shape
            faults.append(f"{kind}: {name} shows other pixels, {shapes}{_off(loader, other)}")
    return {
        "faults": faults,
        "outcomes": {f"{kind} {outcome}": 1},
        "slowest": max(one.seconds for one in read.values()),
        "memory": max(one.memory for one in read.values()),
    }


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and (
        np.array_equal(one, other) or int(np.abs(one.astype(np.int16) - other).max()) <= 1
    )


def _off(one: _Read, other: _Read) -> str:
    if one.image.shape != other.image.shape:
        return ""
    return f", by up to {np.abs(one.image.astype(np.int16) - other.image).max()}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=20_000, help="number of files")
    parser.add_argument("--seed", default="0", help="decides every file")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    flags = parser.parse_args()
    sizes = [CASES_PER_TASK] * (flags.n // CASES_PER_TASK) + [flags.n % CASES_PER_TASK]
    tasks = [(f"{flags.seed}-{task}", size) for task, size in enumerate(sizes) if size]
    started, total = time.perf_counter(), Tally()
    with multiprocessing.get_context("fork").Pool(flags.jobs) as pool:
        for tally in pool.starmap(fuzz, tasks, chunksize=1):
            total.add(tally)
    for fault in total.faults:
        sys.stderr.write(f"{fault}\n")
    report = {
        "files": flags.n,
        "faults": len(total.faults),
        "seconds": round(time.perf_counter() - started),
        "slowest": round(total.slowest, 2),
        "MiB": total.memory >> 20,
        **dict(sorted(total.outcomes.items())),
        **{f"{way} MiB": round(64e6 * each) >> 20 for way, each in weigh(4000).items()},
    }
    sys.stdout.write(f"{json.dumps(report)}\n")
    return int(bool(total.faults))


if __name__ == "__main__":
    sys.exit(main())
