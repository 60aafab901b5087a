"""Reads files of weights while a process rewrites them; run from the repository's root as

    python -m benchmarks.torn_reads --reads=200

Prints the answers to each kind of file and way of writing, and exits with 1 if one is a mixture.
"""

import argparse
import collections
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import h5py
import numpy as np
from safetensors.numpy import save_file

from t2t_keras.errors import CheckpointError
from t2t_keras.weights.formats import Hdf5Buffer, read_safetensors
from t2t_keras.weights.load import weights_in
from t2t_keras.weights.torch_reader import read_torch_checkpoint
from tests.support.weights.torch_writer import checkpoint

ARRAYS, SIZE = 8, 250_000
WAYS = {"anew": ("wb", 1), "in place": ("r+b", 1), "in seven pieces": ("r+b", 7)}


def rewrite(path: Path, versions: list[bytes], mode: str, pieces: int) -> None:
    """Writes the versions in turn, without end, with pauses of up to 20 ms."""
    dice, count = random.Random(0), 0
    while True:
        data, count = versions[count % 2], count + 1
        step = -(-len(data) // pieces)
        with open(path, mode, buffering=0) as file:
            for start in range(0, len(data), step):
                file.write(data[start : start + step])
        time.sleep(dice.choice((0.0, dice.random() * 0.02)))


def hdf5(arrays: dict[str, np.ndarray], path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array


def read_hdf5(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(Hdf5Buffer(weights_in(path)), "r") as file:
        return {name: file[name][...] for name in file}


KINDS: dict[str, tuple[Callable, Callable]] = {  # how a file is written, and how it is read
    "zip.pth": (lambda a, path: path.write_bytes(checkpoint(a)), read_torch_checkpoint),
    "old.pth": (lambda a, path: path.write_bytes(checkpoint(a, True)), read_torch_checkpoint),
    "a.safetensors": (save_file, lambda path: read_safetensors(path)[0]),
    "a.weights.h5": (hdf5, read_hdf5),
}


def answers(path: Path, read: Callable, reads: int) -> dict[str, int]:
    """Counts the reads that gave one version, a mixture, or were refused."""
    counted = collections.Counter(whole=0, mixed=0, refused=0)
    for _ in range(reads):
        try:
            values = {float(value) for each in read(path).values() for value in np.unique(each)}
            counted["whole" if len(values) == 1 else "mixed"] += 1
        except CheckpointError:
            counted["refused"] += 1
    return dict(counted)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reads", type=int, default=200, help="of each kind and way")
    reads, mixed = parser.parse_args().reads, 0
    with tempfile.TemporaryDirectory() as scratch:
        for name, (write, read) in KINDS.items():
            path, versions = Path(scratch, name), []
            for value in (1, 2):
                arrays = {f"x{i}": np.full(SIZE, value, np.float32) for i in range(ARRAYS)}
                write(arrays, path)
                versions.append(path.read_bytes())
            for way, how in WAYS.items():
                writer = multiprocessing.Process(target=rewrite, args=(path, versions, *how))
                writer.start()
                counted = answers(path, read, reads)
                writer.kill()
                writer.join()
                mixed += counted["mixed"]
                sys.stdout.write(f"{json.dumps({'file': name, 'written': way, **counted})}\n")
    return int(bool(mixed))


if __name__ == "__main__":
    sys.exit(main())
