"""The same tiny run on JAX: in one process, and in two of which one is killed and that start again.

Needs a fresh process with KERAS_BACKEND=jax. It imports everything once, and forks the processes of
the runs while neither JAX nor TensorFlow has started anything.
"""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import tensorflow as tf

from t2t_keras.data import augmentation, pipeline
from t2t_keras.training import make_config, train
from t2t_keras.training.devices.processes import fail_without_barrier, join_processes
from tests.support.training.tiny_run import FIELDS

SETTINGS = {
    **FIELDS,
    "epochs": 2,
    "batch_size": 8,  # 2 steps an epoch; of the 7 images to evaluate on one process has 3
    "augment": "none",
    "rand_augment": "none",
    "color_jitter": 0.0,
    "erasing": 0.0,
    "mixup": 0.8,
    "cutmix": 0.0,
    "ema_decay": 0.9,
    "save_every": 1,
}
LAST_STEP_BEFORE_DEATH = 3
_PATIENCE = 300  # seconds


def started(folder: Path, images: str, devices: tuple[str, ...], *together) -> int:
    """Forks a process that trains, alone or `together`; its number. Leaves its result as JSON."""
    number = os.fork()
    if number:
        return number
    signal.alarm(_PATIENCE)
    # Decoding every kind of file takes longer to trace than the rest of the run.
    for module in (pipeline, augmentation):
        module.decode_image = lambda contents: tf.io.decode_jpeg(contents, 3)
    processes = join_processes(*together, devices=devices)
    config = make_config(**{**SETTINGS, "dataset": images, "devices": devices})
    with fail_without_barrier():
        result = train(config, folder)
    report = {
        "history": result.history,
        "replicas": result.replicas,
        "test_loss": result.scores.loss,
        "confusion": result.scores.confusion.tolist(),
    }
    (folder / f"report-{processes.index}.json").write_text(json.dumps(report))
    sys.exit(0)


def pair(folder: Path, images: str, devices: tuple[str, ...]) -> list[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    return [started(folder, images, devices, address, 2, index) for index in range(2)]


def ended(number: int) -> int:
    """Waits for a process; its exit code, negative if a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def bereaved(numbers: list[int], checkpoint: Path) -> list[int]:
    """Kills the last process as soon as there is a checkpoint; the exit codes of all."""
    patient_until = time.monotonic() + _PATIENCE
    while not checkpoint.exists() and time.monotonic() < patient_until:
        time.sleep(0.02)
    os.kill(numbers[-1], signal.SIGKILL)
    return [ended(number) for number in numbers]


def reports(folder: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("report-*.json"))]


if __name__ == "__main__":
    images, root = sys.argv[1], Path(sys.argv[2])
    alone, together = root / "alone", root / "together"
    codes = {"alone": [ended(started(alone, images, ("cpu:0", "cpu:1"), None))]}
    last = together / "checkpoints" / f"step-{LAST_STEP_BEFORE_DEATH:08d}.safetensors"
    codes["killed"] = bereaved(pair(together, images, ("cpu:0",)), last)
    finished = reports(together)
    alone_for = time.time() - last.stat().st_mtime
    codes["again"] = [ended(n) for n in pair(together, images, ("cpu:0",))]
    report = {
        "codes": codes,
        "alone": reports(alone),
        "killed": finished,
        "alone_for": alone_for,
        "together": reports(together),
    }
    (root / "report.json").write_text(json.dumps(report))  # Gloo writes to stdout
