import os
import random
import resource

import numpy as np
import pytest

from t2t_keras.errors import ResumeError, TrainingError
from t2t_keras.training.checkpoint import store as checkpoints
from t2t_keras.training.checkpoint.store import (
    Checkpoint,
    checkpoint_path,
    newest_checkpoint,
    prune_checkpoints,
    write_checkpoint,
)
from tests.support.mutation import damage
from tests.support.processes import result_of
from tests.support.training.tiny_run import bits


def example(step: int, size: int = 2000) -> Checkpoint:
    dice = np.random.default_rng(step)
    state = {
        "model/kernel": dice.standard_normal((size, 2)).astype(np.float32),
        "model/seed_generator/seed_generator_state": np.array([7, step]),
        "optimizer/iteration": np.array(step),
    }
    best, history = {"model/kernel": state["model/kernel"] / 3}, [{"loss": 0.1 + step / 3}]
    return Checkpoint(step, state, best, {"history": history})


def same(one: Checkpoint, two: Checkpoint) -> bool:
    one, two = (each._replace(state=bits(each.state), best=bits(each.best)) for each in (one, two))
    return one == two


def test_what_is_read_is_what_was_written_if_something_was(tmp_path):
    assert newest_checkpoint(tmp_path / "nowhere") is newest_checkpoint(tmp_path) is None
    write_checkpoint(tmp_path / "kept", example(3))
    assert same(newest_checkpoint(tmp_path / "kept"), example(3))
    assert os.listdir(tmp_path / "kept") == ["step-00000003.safetensors"]


def test_500_damages_give_the_state_before_or_an_error(tmp_path, caplog):
    dice, outcomes = random.Random(0), []
    for _ in range(500):
        for step in (1, 2):
            write_checkpoint(tmp_path, example(step, size=600))
        both = dice.random() < 0.2
        for step in (1, 2) if both else (2,):
            damage(checkpoint_path(tmp_path, step), dice)
        try:
            found = newest_checkpoint(tmp_path)
        except ResumeError as error:
            assert str(tmp_path) in str(error) and "`run_name`" in str(error)
            outcomes.append(None)
            continue
        # Both may be deleted.
        assert found is None or same(found, example(found.step, size=600))
        outcomes.append(found and found.step)
    assert outcomes.count(1) > 350 and outcomes.count(None) > 70
    assert "step-00000002.safetensors: is damaged or incomplete" in caplog.text


def test_files_that_were_swapped_are_seen(tmp_path):
    one, two = (checkpoint_path(tmp_path, step) for step in (1, 2))
    for step in (1, 2):
        write_checkpoint(tmp_path, example(step))
    one.rename(tmp_path / "aside")
    two.rename(one)
    (tmp_path / "aside").rename(two)
    with pytest.raises(ResumeError, match="holds no intact checkpoint"):
        newest_checkpoint(tmp_path)


def test_another_format_names_the_version_to_use(tmp_path, monkeypatch):
    write_checkpoint(tmp_path, example(1))
    monkeypatch.setattr(checkpoints, "FORMAT", 7)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "9.9")
    write_checkpoint(tmp_path, example(2))
    monkeypatch.undo()
    with pytest.raises(ResumeError, match=r"step-0+2.safetensors: was written by t2t_keras 9.9"):
        newest_checkpoint(tmp_path)


def test_a_damaged_checkpoint_is_replaced_when_the_run_comes_by_again(tmp_path):
    for step in (1, 2):
        write_checkpoint(tmp_path, example(step))
    checkpoint_path(tmp_path, 2).write_bytes(b"")
    write_checkpoint(tmp_path, example(2))
    assert same(newest_checkpoint(tmp_path), example(2))


def test_a_checkpoint_stays_until_the_one_that_replaces_it_is_on_disk(tmp_path, monkeypatch):
    write_checkpoint(tmp_path, example(2))

    def fail(descriptor):
        assert same(newest_checkpoint(tmp_path), example(2))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(TrainingError, match="No space left"):
        write_checkpoint(tmp_path, example(2, size=10))
    assert same(newest_checkpoint(tmp_path), example(2))


def test_the_last_two_and_the_best_are_kept(tmp_path):
    for step in (1, 2, 3, 4, 9):
        write_checkpoint(tmp_path, example(step, size=1))
    prune_checkpoints(tmp_path, step=4, best_step=1)  # 9 is what was damaged and gone back from
    assert {*tmp_path.iterdir()} == {checkpoint_path(tmp_path, step) for step in (1, 3, 4)}


def test_a_full_disk_leaves_the_last_checkpoint_and_says_what_is_needed(tmp_path):
    folder, limits = tmp_path / "kept", [0, 1, 100, 1000, *range(2000, 16_001, 750)]
    for step in (1, 2):
        write_checkpoint(folder, example(step))
    size = checkpoint_path(folder, 2).stat().st_size
    checkpoint_path(folder, 2).unlink()

    def fill() -> list[str]:
        said = []
        for limit in limits:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            with pytest.raises(TrainingError) as error:
                write_checkpoint(folder, example(2))
            said.append(str(error.value))
        return said

    code, said = result_of(fill)
    assert code == 0 and len(said) == len(limits) > 20
    for line in said:
        assert line.startswith(f"{folder}: the checkpoint of step 2 cannot be written")
        assert f"needs {size:,} bytes" in line
    assert [*folder.iterdir()] == [checkpoint_path(folder, 1)]
    assert same(newest_checkpoint(folder), example(1))


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "kept").write_text("in the way")
    with pytest.raises(TrainingError, match="kept: the checkpoint of step 1 cannot be written"):
        write_checkpoint(tmp_path / "kept", example(1))
