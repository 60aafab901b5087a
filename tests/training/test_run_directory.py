import json
import logging
import os
import shutil
import signal
from pathlib import Path

import pytest

from t2t_keras.errors import ResumeError
from t2t_keras.files import write_json
from t2t_keras.training import make_config, settings_of
from t2t_keras.training.checkpoint.store import Checkpoint, write_checkpoint
from t2t_keras.training.run_directory import (
    check_override,
    is_busy,
    lock_run_directory,
    open_run,
    run_facts,
    run_id_of,
    unfinished_run,
)
from tests.support.processes import forked

BASE = {"dataset": "digits", "model": "t2t_vit_7", "image_size": 32}


def begun(folder: Path, checkpoint: bool = False, **settings) -> Path:
    """The folder of a run that was started with these settings."""
    folder.mkdir(parents=True)
    facts = run_facts(make_config(**{**BASE, **settings}))
    facts["run_id"] = run_id_of(folder)
    write_json(folder / "settings.json", {"run_id": facts["run_id"], **facts["settings"]})
    if checkpoint:
        write_checkpoint(folder / "checkpoints", Checkpoint(5, {}, {}, facts))
    return folder


def test_a_second_run_in_a_folder_is_refused_and_told_who_is_there(tmp_path):
    folder = begun(tmp_path / "run")

    def hold(pipe: int) -> None:
        with lock_run_directory(folder):
            os.write(pipe, b"held")
            signal.pause()

    other, pipe = forked(hold)
    assert os.read(pipe, 4) == b"held"
    assert is_busy(folder)
    with pytest.raises(ResumeError, match=f"another run works .*process {other} on"):
        with lock_run_directory(folder):
            pass
    assert unfinished_run(tmp_path, make_config(**BASE), "metrics.json") is None
    os.kill(other, signal.SIGKILL)
    os.waitpid(other, 0)
    assert not is_busy(folder)
    with lock_run_directory(folder), lock_run_directory(folder):
        assert f"process {os.getpid()} on" in (folder / ".lock-holder").read_text()
    assert unfinished_run(tmp_path, make_config(**BASE), "metrics.json") == folder


def test_a_folder_that_stays_empty_is_removed(tmp_path):
    with pytest.raises(ValueError), lock_run_directory(tmp_path / "runs" / "one"):
        raise ValueError
    assert list(tmp_path.iterdir()) == []
    with lock_run_directory(tmp_path / "runs" / "one"):
        (tmp_path / "runs" / "one" / "log.csv").touch()
    assert (tmp_path / "runs" / "one" / "log.csv").exists()


def test_a_run_starts_goes_on_or_is_refused(tmp_path):
    facts = run_facts(make_config(**BASE))
    (tmp_path / "empty").mkdir()
    assert open_run(tmp_path / "empty", facts) is None
    assert open_run(begun(tmp_path / "begun"), facts) is None
    assert open_run(begun(tmp_path / "on", checkpoint=True), facts).step == 5
    with pytest.raises(ValueError, match="on: this run exists already"):
        open_run(tmp_path / "on", facts, resume=False)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(ValueError, match="other: is not a run that can be resumed"):
        open_run(tmp_path / "other", facts)


def test_a_run_whose_checkpoints_are_gone_never_starts_from_random_weights(tmp_path):
    folder = begun(tmp_path / "run")
    (folder / "log.csv").touch()
    with pytest.raises(ResumeError, match="log.csv lists epochs, but there is no checkpoint"):
        open_run(folder, run_facts(make_config(**BASE)))
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "step-00000007.safetensors").touch()
    with pytest.raises(ResumeError, match="holds no intact checkpoint"):
        open_run(folder, run_facts(make_config(**BASE)))


def test_checkpoints_of_another_run_with_equal_settings_are_refused(tmp_path):
    one, two = (begun(tmp_path / name, checkpoint=True) for name in ("one", "two"))
    facts = run_facts(make_config(**BASE))
    copy = Path(shutil.copytree(two, tmp_path / "copy"))
    assert open_run(copy, facts).step == 5
    shutil.copytree(two / "checkpoints", one / "checkpoints", dirs_exist_ok=True)
    with pytest.raises(ResumeError, match="of the run two-.{16}, and .*one is the run one-.{16}"):
        open_run(one, facts)


def test_what_a_killed_save_left_is_cleared(tmp_path):
    folder = begun(tmp_path / "run", checkpoint=True)
    left = [folder / ".part-0123abcd-log.csv", folder / "checkpoints" / ".part-0123abcd-step-6"]
    for path in left:
        path.mkdir()
    assert open_run(folder, run_facts(make_config(**BASE))).step == 5
    assert not any(path.exists() for path in left)


FIXED = {
    "dataset": "cifar10",
    "model": "t2t_vit_10",
    "image_size": 48,
    "batch_size": 32,
    "seed": 1,
    "precision": "float16",
    "held_out": 0.2,
    "train_split": "train[:50%]",
}
WITH_LEAVE = {
    "lr": 1e-4,
    "epochs": 50,
    "weight_decay": 0.1,
    "drop_path_rate": 0.3,
    "augment": "crop_flip",
    "smoothing": 0.0,
    "monitor": "val_accuracy",
    "jit_compile": False,
    "min_lr": 0.0,
    "data_dir": "elsewhere",
}


@pytest.mark.parametrize("name", FIXED)
@pytest.mark.parametrize("from_checkpoint", [True, False])
def test_a_run_cannot_change_what_its_state_hangs_on(name, from_checkpoint, tmp_path):
    folder = begun(tmp_path / "run", from_checkpoint)
    before = settings_of(make_config(**BASE))[name]
    with_split = {"eval_split": "test", "held_out": 0.0} if name == "train_split" else {}
    facts = run_facts(make_config(**{**BASE, name: FIXED[name], **with_split}))
    message = f"`{name}` was .*{before if name != 'image_size' else ''}.*cannot change within a run"
    with pytest.raises(ResumeError, match=message) as refused:
        open_run(folder, facts, override=[name])
    now = json.dumps(facts["settings"][name]).strip('"').replace("null", "None")
    assert now in str(refused.value)


@pytest.mark.parametrize("name", WITH_LEAVE)
def test_other_settings_change_with_leave_alone(name, tmp_path, caplog):
    folder = begun(tmp_path / "run", checkpoint=True)
    old = settings_of(make_config(**BASE))[name]
    facts = run_facts(make_config(**{**BASE, name: WITH_LEAVE[name]}))
    with pytest.raises(ResumeError) as refused:
        open_run(folder, facts)
    assert f"`{name}` was {old}, now {WITH_LEAVE[name]}" in str(refused.value)
    assert f"`override={name}`" in str(refused.value)
    with caplog.at_level(logging.INFO, "t2t_keras"):
        assert open_run(folder, facts, override=[name]).step == 5
    assert f"{name} was {old} and is {WITH_LEAVE[name]} from here on" in caplog.text


@pytest.mark.parametrize("given", [{"save_every": 7}, {"log_every": 7}, {"devices": ("cpu:1",)}])
def test_some_settings_change_freely(given, tmp_path):
    folder = begun(tmp_path / "run", checkpoint=True)
    assert open_run(folder, run_facts(make_config(**BASE, **given))).step == 5


@pytest.mark.parametrize("name", ["lrr", "seed"])
def test_an_override_that_cannot_be_is_refused(name):
    with pytest.raises(ValueError, match=f"`override` must be names .*Received: override={name}"):
        check_override(["lr", name])


def test_the_newest_unfinished_run_of_the_same_settings_is_found(tmp_path):
    for age, name in enumerate(("old", "new", "done", "other")):
        settings = {"lr": 1e-4} if name == "other" else {}
        os.utime(begun(tmp_path / name, **settings) / "settings.json", (age, age))
    (tmp_path / "done" / "metrics.json").touch()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "settings.json").write_text("{")
    assert unfinished_run(tmp_path, make_config(**BASE), "metrics.json") == tmp_path / "new"
    assert unfinished_run(tmp_path / "nowhere", make_config(**BASE), "metrics.json") is None
