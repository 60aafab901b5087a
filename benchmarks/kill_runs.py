"""Kills training runs at random and compares how they end; run from the repository's root as

    python -m benchmarks.kill_runs --kills=100 --jobs=2

Exits with 1 if a run that was killed ends otherwise than one that was left alone: other weights,
optimizer state, seeds, best weights, history or log.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tests.support.training.killing import TALLIED, kill_runs, live, settings
from tests.support.training.tiny_run import contents


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="SIGKILLs and SIGTERMs in all")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--seed", type=int, default=0, help="decides when, and what is damaged")
    parser.add_argument("--stem", default="performer", help="performer or convolution")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--replicas", type=int, default=1, help="CPU devices of a run")
    asked = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        config = settings(root, asked.stem, asked.precision, asked.replicas)
        live(config, root / "undisturbed")
        expected = contents(root / "undisturbed")
        jobs = []
        for job in range(asked.jobs):
            kills = asked.kills // asked.jobs + (job < asked.kills % asked.jobs)
            (root / str(job)).mkdir()
            if pid := os.fork():
                jobs.append(pid)
                continue
            code = 1
            try:
                tally = kill_runs(root / str(job), config, kills, asked.seed + job, expected)
                (root / f"{job}.json").write_text(json.dumps(tally))
                code = 0
            except (RuntimeError, OSError):
                traceback.print_exc()
            finally:
                os._exit(code)  # or it would clear away the folders that the others work in
        failed = [pid for pid in jobs if os.waitpid(pid, 0)[1]]
        total = Counter(dict.fromkeys(TALLIED, 0))
        for path in root.glob("*.json"):
            total.update(json.loads(path.read_text()))
    total["seconds"] = round(time.monotonic() - started)
    sys.stdout.write(f"{json.dumps(total)}\n")
    return int(bool(failed or total["different"]))


if __name__ == "__main__":
    sys.exit(main())
