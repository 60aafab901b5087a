"""A small real run that is killed again and again, and must end as if it never had been.

TensorFlow's import takes longer than such a run: one process imports it, touches nothing of it, and
forks every life of a run.
"""

import dataclasses
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import tensorflow as tf

from t2t_keras.data import inspection, pipeline
from t2t_keras.data.ops import jpeg_window as decode_window
from t2t_keras.errors import RunInterrupted
from t2t_keras.training import TrainConfig, make_config, run, train
from tests.support.images import make_folder
from tests.support.mutation import damage
from tests.support.plain_graphs import leave_graphs_alone
from tests.support.processes import forked
from tests.support.training.tiny_run import FIELDS, TINY, contents

LONGEST_LIFE = 300.0  # seconds
# Kills, among them SIGTERMs, SIGKILLs in a save, and those followed by damage to the newest
# checkpoint; runs that came to their end, and those whose end differs from the undisturbed one's.
TALLIED = ("kills", "terminated", "in_save", "damaged", "runs", "different")


@dataclasses.dataclass(frozen=True)
class Kill:
    """The end of one life of a run, in the middle of a save, early (it may not have resumed yet) or
    at any moment of a step or a validation."""

    number: signal.Signals
    moment: str  # "save", "early" or "any"
    damage: bool  # whether the newest checkpoint is damaged then


def deal_kills(count: int, dice: random.Random) -> list[Kill]:
    """Kills in random order, of which every five hold every kind.

    Three of five come in the middle of a save, one early; one is a SIGTERM, and two others are
    followed by damage.
    """
    kills = []
    ways = [(signal.SIGTERM, False)] + [(signal.SIGKILL, True), (signal.SIGKILL, False)] * 2
    while len(kills) < count:
        moments = dice.sample(["save"] * 3 + ["any", "early"], 5)
        pairs = zip(moments, dice.sample(ways, 5), strict=True)
        kills += [Kill(number, moment, damage) for moment, (number, damage) in pairs]
    return kills[:count]


def settings(root: Path, stem: str, precision: str = "float32", replicas: int = 1) -> TrainConfig:
    """A run with everything that is drawn or averaged, in 3 epochs of 6 steps.

    Shuffling, dropout, drop path, random crops, erasing, mixup, cutmix, learning rates by groups
    and an average of the weights; of what is drawn for an image the most costly is left out. The
    "performer" stem has dropout in it; "convolution" is quicker to build.
    """
    images = root / "images"
    if not images.exists():
        for part, count in (("train", 26), ("val", 6)):
            make_folder(images / part, {"ash": count, "elm": count}, size=16)
    # Two blocks: the first one of a model never drops its branches.
    sizes = dataclasses.replace(TINY, depth=2, token_type=stem)
    images_drawn = {"augment": "crop_flip", "erasing": 0.5, "mixup": 0.8, "cutmix": 1.0}
    rates = {"backbone_lr_ratio": 0.5, "layer_decay": 0.8, "class_weight": "balanced"}
    given = {"dataset": str(images), "model": sizes, "batch_size": 8, "precision": precision}
    devices = tuple(f"cpu:{index}" for index in range(replicas))
    averaged = {"drop_path_rate": 0.2, "ema_decay": 0.9, "save_every": 1, "devices": devices}
    return make_config(**{**FIELDS, **given, **images_drawn, **rates, **averaged})


def _write_in_two(path: Path, content: bytes) -> None:
    """Writes a file so slowly that a kill can meet it half written."""
    with open(path, "wb", buffering=0) as file:
        file.write(content[: len(content) // 2])
        time.sleep(0.01)
        file.write(content[len(content) // 2 :])


def fork(config: TrainConfig, folder: Path) -> int:
    """Starts a life of a run; returns its process id."""

    def work(_):
        with open(folder.with_suffix(".out"), "ab", buffering=0) as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        # All cost seconds that an undisturbed run would lose too.
        leave_graphs_alone()
        for module in (pipeline, decode_window, inspection):
            module.decode_image = lambda contents: tf.io.decode_jpeg(contents, 3)
        run.predict_and_score = lambda *_: None  # nothing here asks for it
        Path.write_bytes = _write_in_two
        try:
            train(config, folder, verbose=2)
        except RunInterrupted as interrupted:
            sys.exit(128 + interrupted.number)

    pid, pipe = forked(work)
    os.close(pipe)
    return pid


def ended(pid: int, options: int = os.WNOHANG) -> int | None:
    """The exit code of a life that is over, else None; `options` are those of `os.waitpid`."""
    done, status = os.waitpid(pid, options)
    return os.waitstatus_to_exitcode(status) if done and not os.WIFSTOPPED(status) else None


def _require_success(code: int, folder: Path) -> None:
    if code:
        said = folder.with_suffix(".out").read_text()
        raise RuntimeError(f"A life of {folder.name} ended with {code}.\n{said}")


def live(config: TrainConfig, folder: Path) -> None:
    """Lets a run continue to its end."""
    _require_success(ended(fork(config, folder), 0), folder)


def _half_written(checkpoints: Path) -> set[str]:
    # Asked a thousand times a second beside a run that is timed: no glob.
    names = os.listdir(checkpoints) if checkpoints.is_dir() else ()
    return {name for name in names if name.startswith(".part-")}


def live_and_die(config: TrainConfig, folder: Path, kill: Kill, dice: random.Random) -> bool:
    """Lets a run continue for a while, then signals it; False where it had ended before."""
    saves = dice.randint(1, 3)
    pause = dice.uniform(0.0, 0.008 if kill.moment == "save" else 0.1)
    early = dice.uniform(0.0, 4.0) if kill.moment == "early" else LONGEST_LIFE
    checkpoints = folder / "checkpoints"
    seen = left = _half_written(checkpoints)
    pid, started = fork(config, folder), time.monotonic()
    while (code := ended(pid)) is None and time.monotonic() - started < early:
        saving = _half_written(checkpoints) - seen
        seen = seen | saving
        if saving and len(seen - left) >= saves:
            time.sleep(pause)
            os.kill(pid, signal.SIGSTOP)
            code = ended(pid, os.WUNTRACED)
            if code is not None or kill.moment != "save" or saving & _half_written(checkpoints):
                break
            os.kill(pid, signal.SIGCONT)  # the save was through before: the next one, and sooner
            pause /= 2
        time.sleep(0.001 if seen else 0.01)
    if code is None:
        os.kill(pid, kill.number)
        os.kill(pid, signal.SIGCONT)  # or it would not answer SIGTERM
        code = ended(pid, 0)
        # A run answers SIGTERM from when it holds its folder; before, it ends as any process does.
        if kill.number == signal.SIGKILL or code in (128 + kill.number, -kill.number):
            return True
    _require_success(code, folder)  # it had come to its end by itself
    return False


def kill_runs(
    root: Path, config: TrainConfig, kills: int, seed: int, expected: dict[str, object]
) -> Counter[str]:
    """Kills runs `kills` times in all, and compares their `contents` with the expected ones."""
    tally = Counter(dict.fromkeys(TALLIED, 0))
    dice, due = random.Random(seed), 0
    ahead = deal_kills(kills, dice)
    while ahead:
        folder = root / f"run-{tally['runs']}"
        while ahead and live_and_die(config, folder, ahead[-1], dice):
            kill, kept = ahead.pop(), folder / "checkpoints"
            tally["kills"] += 1
            due += kill.damage
            if kill.number == signal.SIGTERM:
                tally["terminated"] += 1
                continue
            tally["in_save"] += kill.moment == "save"
            whole = sorted(kept.glob("step-*"))
            if due and len(whole) > 1:  # or there would be none to resume from
                damage(whole[-1], dice)
                tally["damaged"] += 1
                due -= 1
        live(config, folder)
        tally["runs"] += 1
        tally["different"] += contents(folder) != expected
    return tally
