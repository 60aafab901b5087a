"""Stopping and resuming, with a model small enough to try every step."""

import contextlib
import signal

import numpy as np
import pytest

from t2t_keras.errors import ResumeError, RunInterrupted, TrainingError
from t2t_keras.training.checkpoint.store import newest_checkpoint
from tests.support.training.tiny_run import contents
from tests.support.training.toy import EPOCHS, STEPS, At, Toy, stop


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    Toy(folder).run()
    return contents(folder)


def test_an_undisturbed_run_keeps_the_last_two_and_the_best(tmp_path):
    toy = Toy(tmp_path, every=1).run()
    total = STEPS * EPOCHS
    best = (toy.run_state.best.epoch + 1) * STEPS
    names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert names == {f"step-{step:08d}.safetensors" for step in (best, total - 1, total)}


@pytest.mark.parametrize(
    ("number", "stops"),  # each with the step that is kept then
    [
        *((signal.SIGTERM, [("begin", at, at)]) for at in (1, STEPS, STEPS + 1, STEPS * EPOCHS)),
        (signal.SIGINT, [("begin", 2, 2 * count) for count in range(1, 2 * EPOCHS + 1)]),
        # In a validation, and in the one that is made up for.
        (signal.SIGTERM, [("test", 2, STEPS), ("test", 1, STEPS)]),
        (signal.SIGTERM, [("test", 2 * EPOCHS, STEPS * EPOCHS), ("test", 1, STEPS * EPOCHS)]),
        (signal.SIGTERM, [("tested", 2, 2 * STEPS), ("test", 1, 2 * STEPS)]),
        (signal.SIGTERM, [("ended", 1, STEPS * EPOCHS)]),
    ],
)
def test_a_signal_loses_no_step_and_at_most_the_validation(number, stops, undisturbed, tmp_path):
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    for event, count, step in stops:
        stop(tmp_path, event, count, number)
        assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == before
        kept = newest_checkpoint(tmp_path / "checkpoints")
        epochs = EPOCHS if event == "ended" else (step - 1) // STEPS
        assert (kept.step, len(kept.progress["history"])) == (step, epochs)
    Toy(tmp_path).run()
    assert contents(tmp_path) == undisturbed


def test_a_signal_that_comes_while_the_processes_agree_is_not_lost(undisturbed, tmp_path):
    toy = Toy(tmp_path)

    class Processes:
        first, count = True, 1

        @staticmethod
        def highest(number: int) -> int:
            if toy.run_state.step == 2 and not toy.callback.signals.received:
                signal.raise_signal(signal.SIGTERM)
            return number

    toy.callback.processes = Processes
    with pytest.raises(RunInterrupted):
        toy.run()
    assert newest_checkpoint(tmp_path / "checkpoints").step == 3
    Toy(tmp_path).run()
    assert contents(tmp_path) == undisturbed


def test_a_signal_loses_no_loss_scale(tmp_path):
    def ready(name):
        toy = Toy(tmp_path / name, loss_scaled=True)
        scale = toy.model.optimizer.dynamic_scale
        return toy, At("begin", 3, lambda: scale.assign(3e38))  # steps are skipped from here on

    whole, overflow = ready("whole")
    whole.run(overflow)
    stopped, overflow = ready("stopped")
    with pytest.raises(RunInterrupted):
        stopped.run(overflow, At("begin", 6, lambda: signal.raise_signal(signal.SIGTERM)))
    kept = newest_checkpoint(tmp_path / "stopped" / "checkpoints").state
    (scale,) = (value for key, value in kept.items() if "dynamic_scale" in key)
    assert 8.0 < scale < 3e38
    Toy(tmp_path / "stopped", loss_scaled=True).run()
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    ("poison", "ema", "loss_scaled"),
    [(0, False, False), (1, True, False), (STEPS - 1, False, True), (STEPS + 1, True, True)],
)
def test_no_number_stops_a_run_with_finite_checkpoints(poison, ema, loss_scaled, tmp_path):
    epoch, step = divmod(poison, STEPS)
    message = f"in epoch {epoch + 1}, step {step + 1} of 4. The batch: image {epoch} {step}. "
    with pytest.raises(TrainingError, match=message):
        Toy(tmp_path, every=1, poison=poison, ema=ema, loss_scaled=loss_scaled).run()
    kept = newest_checkpoint(tmp_path / "checkpoints")
    assert (kept.step if kept else 0) == poison
    if kept:
        assert all(np.isfinite(array).all() for array in kept.state.values())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("averaged", [False, True])
def test_a_run_ends_where_only_a_validation_loss_is_no_number(bad, averaged, tmp_path, monkeypatch):
    toy = Toy(tmp_path)
    toy.run_state.step, toy.run_state.history = 12, [{}, {}]
    toy.run_state.best.averaged = averaged
    toy.callback.set_model(toy.model)
    losses = {"val_": 1.0 if averaged else bad, "val_ema_": bad}
    monkeypatch.setattr(toy.callback, "_evaluate", lambda prefix: {f"{prefix}loss": losses[prefix]})
    monkeypatch.setattr("t2t_keras.training.epoch.ema_weights", contextlib.nullcontext)
    message = r"validation loss became .* in epoch 3\. The batch: image 2 3\. .*remove it before"
    with pytest.raises(TrainingError, match=message):
        toy.callback.on_epoch_end(2)
    assert (tmp_path / "stopped_at_batch.txt").read_text() == "image 2 3\n"
    assert toy.run_state.best.epoch is None


def test_weights_that_are_no_numbers_are_not_kept(tmp_path):
    toy = Toy(tmp_path, every=2)
    with pytest.raises(TrainingError, match="model/.*kernel is not finite after step 6"):
        toy.run(At("end", 6, lambda: toy.model.layers[-1].kernel.assign([[np.inf]] * 3)))
    assert newest_checkpoint(tmp_path / "checkpoints").step == STEPS


def test_the_state_of_another_optimizer_is_refused_before_anything_changes(tmp_path):
    Toy(tmp_path, ema=True).run()
    kept = newest_checkpoint(tmp_path / "checkpoints")
    other = Toy(tmp_path / "other")
    before = other.model.get_weights()
    with pytest.raises(ResumeError, match="model or optimizer: 0 .* missing in it .-., 2 of its"):
        other.checkpointer.restore(other.model, kept)
    np.testing.assert_equal(other.model.get_weights(), before)
