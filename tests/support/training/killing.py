"""A small real run that is killed again and again, and must end as if it never had been.

TensorFlow's import takes longer than such a run: one process imports it, touches nothing of it, and
forks every life of a run.
"""

import dataclasses
import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

import tensorflow as tf

from t2t_keras import Variant
from t2t_keras.data import inspection, pipeline
from t2t_keras.data.ops import jpeg_window as decode_window
from t2t_keras.errors import RunInterrupted
from t2t_keras.training import TrainConfig, make_config, run, train
from t2t_keras.training.recipes import SMALL_VARIANTS
from tests.support.images import make_folder
from tests.support.plain_graphs import leave_graphs_alone
from tests.support.training.damage import DAMAGES

LONGEST_LIFE = 300.0  # seconds


@dataclasses.dataclass
class Tally:
    """Counts of what was done to the runs.

    Args:
        kills: SIGKILLs and SIGTERMs.
        terminated: Of them, the SIGTERMs; each ended with 143 and a checkpoint of its last step.
        in_save: Of them, the SIGKILLs in the middle of a save.
        damaged: Of them, those after which the newest checkpoint was damaged.
        runs: Runs that came to their end.
        different: Runs that ended otherwise than the undisturbed one.
    """

    kills: int = 0
    terminated: int = 0
    in_save: int = 0
    damaged: int = 0
    runs: int = 0
    different: int = 0


@dataclasses.dataclass(frozen=True)
class Kill:
    """The end of one life of a run.

    Args:
        number: SIGKILL or SIGTERM.
        moment: "save" for the middle of a save, "early" for the first seconds, in which the run may
            not have resumed yet, "any" for some moment of a step or a validation.
        damage: True to damage the newest checkpoint then.
    """

    number: signal.Signals
    moment: str
    damage: bool


def deal_kills(count: int, dice: random.Random) -> list[Kill]:
    """Kills in random order, of which every ten hold every kind.

    Five of ten come in the middle of a save, one early; two are SIGTERMs and three others are
    followed by damage.
    """
    kills = []
    while len(kills) < count:
        moments = dice.sample(["save"] * 5 + ["any"] * 4 + ["early"], 10)
        ways = [(signal.SIGTERM, False)] * 2 + [(signal.SIGKILL, True)] * 3
        ways += [(signal.SIGKILL, False)] * 5
        pairs = zip(moments, dice.sample(ways, 10), strict=True)
        kills += [Kill(number, moment, damage) for moment, (number, damage) in pairs]
    return kills[:count]


def settings(root: Path, stem: str, precision: str = "float32", replicas: int = 1) -> TrainConfig:
    """A run with everything that is drawn or averaged, in 3 epochs of 6 steps.

    Shuffling, dropout, drop path, random crops, erasing, mixup, cutmix, learning rates by groups
    and an average of the weights; of what is drawn for an image the most costly is left out.

    Args:
        root: Gets the images.
        stem: "performer", which has dropout in it, or "convolution", which is quicker to build.
        precision: As `TrainConfig` has it.
        replicas: Number of devices.
    """
    # Two blocks: the first one of a model never drops its branches.
    SMALL_VARIANTS["killed"] = Variant(
        embed_dim=16,
        depth=2,
        num_heads=2,
        mlp_ratio=1.0,
        token_dim=8,
        token_type=stem,
        image_size=16,
    )
    images = root / "images"
    if not images.exists():
        for part, count in (("train", 26), ("val", 6)):
            make_folder(images / part, {"ash": count, "elm": count}, size=16)
    return make_config(
        dataset=str(images),
        model="killed",
        batch_size=8,
        epochs=3,
        warmup_epochs=1,
        cooldown_epochs=0,
        drop_path_rate=0.2,
        augment="crop_flip",
        rand_augment="none",
        color_jitter=0.0,
        erasing=0.5,
        mixup=0.8,
        cutmix=1.0,
        ema_decay=0.9,
        backbone_lr_ratio=0.5,
        layer_decay=0.8,
        class_weight="balanced",
        save_every=1,
        precision=precision,
        devices=tuple(f"cpu:{index}" for index in range(replicas)),
    )


def fork(config: TrainConfig, folder: Path) -> int:
    """Starts a life of a run; returns its process id."""
    if pid := os.fork():
        return pid
    with open(folder.with_suffix(".out"), "ab", buffering=0) as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    code = 1
    # All cost seconds that an undisturbed run would lose too.
    leave_graphs_alone()
    for module in (pipeline, decode_window, inspection):
        module.decode_image = lambda contents: tf.io.decode_jpeg(contents, 3)
    run.predict_and_score = lambda *_: None  # of a run that is through, nothing here asks for it
    try:
        train(config, folder, verbose=2)
        code = 0
    except RunInterrupted as interrupted:
        code = 128 + interrupted.number
    except BaseException:  # noqa: BLE001 - a forked child must not continue in its parent's code
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


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


def outcome(folder: Path) -> dict[str, bytes]:
    """Everything a run ended with, except times."""
    last = max((folder / "checkpoints").glob("step-*"))
    progress = json.loads((last / "progress.json").read_text())
    del progress["seconds"]
    return {
        "name": last.name.encode(),
        "state": (last / "state.safetensors").read_bytes(),
        "best": (last / "best.safetensors").read_bytes(),
        "progress": json.dumps(progress).encode(),
        "log": (folder / "log.csv").read_bytes(),
    }


def kill_runs(
    root: Path, config: TrainConfig, kills: int, seed: int, expected: dict[str, bytes]
) -> Tally:
    """Kills runs `kills` times in all, and compares each with one that was left alone.

    Args:
        root: Where the runs go; empty.
        config: Theirs.
        kills: Signals sent.
        seed: Decides when, and what is damaged.
        expected: The `outcome` of a run that was left alone.
    """
    dice, tally, due = random.Random(seed), Tally(), 0
    ahead = deal_kills(kills, dice)
    while ahead:
        folder = root / f"run-{tally.runs}"
        while ahead and live_and_die(config, folder, ahead[-1], dice):
            kill, kept = ahead.pop(), folder / "checkpoints"
            tally.kills += 1
            due += kill.damage
            if kill.number == signal.SIGTERM:
                tally.terminated += 1
                continue
            tally.in_save += kill.moment == "save"
            whole = sorted(path.parent for path in kept.glob("step-*/manifest.json"))
            if due and len(whole) > 1:  # or there would be none to resume from
                DAMAGES[dice.choice(sorted(DAMAGES))](whole[-1], dice)
                tally.damaged += 1
                due -= 1
        live(config, folder)
        tally.runs += 1
        tally.different += outcome(folder) != expected
    return tally
