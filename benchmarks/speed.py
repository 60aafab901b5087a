"""Times models beside the authors' PyTorch code, each in a process of its own.

    git clone https://github.com/yitu-opensource/T2T-ViT
    python -m venv .torch && .torch/bin/pip install torch numpy
    python -m benchmarks.speed --what=forward --torch_python=.torch/bin/python --authors=T2T-ViT

The contestants are called in turn with a pause, so that none computes beside another, and each is
compared with the first one pair by pair. The machine must be idle: else it stops, or with
`--busy_anyway` says so in every line. With `--memory` it measures the peak at two batch sizes
instead. `--results` appends the lines to a CSV file.
"""

import argparse
import csv
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.contestants import CONTESTANTS, MATMUL_FLOPS, parser

BUSY = 0.05  # of the machine's processor time, used by others
_SHARED = ("what", "model", "image_size", "precision", "authors")  # flags of contestants
COLUMNS = (
    *("date", "machine", "model", "what", "batch", "size", "precision", "busy before"),
    *("contestant", "ms", "images/s", "times as fast", "quartiles", "GFLOP/s", "first call s"),
    *("others", "peak MB", "MB an image"),
)


def processor() -> str:
    """The processor's name and number of cores, and the GPU's name if there is one."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"
    try:
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        gpu = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return name
    return f"{name}, {gpu}"


def ticks(*pids: int) -> tuple[int, int, int]:
    """Clock ticks of all cores, those that were not idle, and those of the processes."""
    times = [int(number) for number in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    own = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        own += sum(int(number) for number in fields[11:15])
    return sum(times), sum(times) - times[3] - times[4], own


def used_by_others(before: tuple[int, int, int], after: tuple[int, int, int]) -> float:
    """The part of the processor time between two `ticks` that others used."""
    whole, busy, own = (late - early for late, early in zip(after, before, strict=True))
    return max(busy - own, 0) / max(whole, 1)


class Contestant:
    """A process that waits until it is its turn."""

    def __init__(self, name: str, asked: argparse.Namespace, batch_size: int):
        python = asked.torch_python if name.startswith("torch") else sys.executable
        backend = "jax" if name == "jax" else "tensorflow"
        words = [f"--{key}={value}" for key, value in vars(asked).items() if key in _SHARED]
        words += [f"--batch_size={batch_size}", *(["--remat"] if asked.remat else [])]
        self.name = name
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.contestants", name, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if asked.verbose else subprocess.DEVNULL,
            text=True,
            env={**os.environ, "KERAS_BACKEND": backend},
        )
        self.first = self._answer()["first"]

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name}: ended with {self.process.wait()}; --verbose shows why")
        return json.loads(line)

    def ask(self, question: object):
        self.process.stdin.write(f"{question}\n")
        self.process.stdin.flush()
        return self._answer()

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def in_turn(
    contestants: list[Contestant], asked: argparse.Namespace, rounds: int
) -> list[list[float]]:
    """The median seconds of a call of each contestant, in each round."""
    medians = []
    for _ in range(rounds):
        seconds = []
        for each in contestants:
            time.sleep(asked.pause)  # threads of the one before may spin for a while
            seconds.append(statistics.median(each.ask(asked.calls)))
        medians.append(seconds)
    return medians


def compared(asked: argparse.Namespace) -> list[dict[str, object]]:
    """A line for each contestant: its time, and its speed relative to the first one's."""
    contestants = [Contestant(name, asked, asked.batch_size) for name in asked.contestants]
    pids = [each.process.pid for each in contestants]
    in_turn(contestants, asked, 2)
    before = ticks(*pids)
    rounds = in_turn(contestants, asked, asked.rounds)
    others = used_by_others(before, ticks(*pids))
    lines = []
    for index, each in enumerate(contestants):
        seconds = statistics.median(row[index] for row in rounds)
        ratios = [row[0] / row[index] for row in rounds]
        low, ratio, high = statistics.quantiles(ratios, n=4, method="inclusive")
        line = {"contestant": each.name, "ms": round(1000 * seconds, 1)}
        if each.name == "matmul":
            line["GFLOP/s"] = round(MATMUL_FLOPS / seconds / 1e9)
        else:
            line["images/s"] = round(asked.batch_size / seconds, 2)
            line["times as fast"] = round(ratio, 3)
            line["quartiles"] = f"{low:.3f}-{high:.3f}"
        lines.append({**line, "first call s": round(each.first, 1), "others": f"{others:.1%}"})
        each.end()
    return lines


def memories(asked: argparse.Namespace) -> list[dict[str, object]]:
    """A line for each contestant: peak memory at a batch size, and what an image more costs."""
    lines = []
    for name in asked.contestants:
        peaks = []
        for batch_size in (asked.batch_size, 2 * asked.batch_size):
            each = Contestant(name, asked, batch_size)
            each.ask(2)
            found = each.ask("memory")
            peaks.append(found.get("gpu") or found["process"])
            each.end()
        slope = (peaks[1] - peaks[0]) / asked.batch_size
        peak, an_image = round(peaks[0] / 1e6), round(slope / 1e6, 1)
        lines.append({"contestant": name, "peak MB": peak, "MB an image": an_image})
    return lines


def main() -> None:
    flags = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[parser()],
    )
    default = "torch,torch.compile,tensorflow,xla,jax,matmul"
    flags.add_argument("--contestants", default=default, help=f"of {','.join(CONTESTANTS)}")
    flags.add_argument("--torch_python", default=sys.executable, help="has torch and numpy")
    flags.add_argument("--rounds", type=int, default=15, help="pairs")
    flags.add_argument("--calls", type=int, default=3, help="calls in a turn; their median counts")
    flags.add_argument("--pause", type=float, default=0.5, help="seconds before a turn")
    flags.add_argument("--memory", action="store_true", help="measure memory, not time")
    flags.add_argument("--busy_anyway", action="store_true", help="measure on a busy machine")
    flags.add_argument("--verbose", action="store_true", help="show what contestants print")
    flags.add_argument("--results", help="CSV file to append to")
    asked = flags.parse_args()
    asked.contestants = asked.contestants.split(",")
    before = ticks()
    time.sleep(2)
    busy = used_by_others(before, ticks())
    if busy > BUSY and not asked.busy_anyway:
        sys.exit(f"Others use {busy:.0%} of this machine's processors: wait, or --busy_anyway")
    lines = memories(asked) if asked.memory else compared(asked)
    what = f"{asked.what}{', remat' if asked.remat else ''}"
    same = {"date": time.strftime("%Y-%m-%d"), "machine": processor(), "model": asked.model}
    same |= {"what": what, "batch": asked.batch_size, "size": asked.image_size}
    same |= {"precision": asked.precision, "busy before": f"{busy:.1%}"}
    sys.stdout.write(", ".join(f"{key} {value}" for key, value in same.items()) + "\n")
    for line in lines:
        sys.stdout.write("  ".join(f"{key} {value!s:>8}" for key, value in line.items()) + "\n")
    if asked.results:
        _append(Path(asked.results), [{**same, **line} for line in lines])


def _append(path: Path, lines: list[dict[str, object]]) -> None:
    new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        if new:
            table.writeheader()
        table.writerows(lines)


if __name__ == "__main__":
    main()
