import logging

import pytest

from t2t_keras.training.checkpoint.best_weights import BestWeights
from t2t_keras.training.progress import Bar, EpochLogger, StepLogger, Throughput
from t2t_keras.training.run_state import RunState
from t2t_keras.training.schedule import EpochSchedule

RATES = EpochSchedule(lr=0.5, min_lr=0, warmup_lr=0, epochs=2, warmup_epochs=0, cooldown_epochs=0)


@pytest.fixture
def clock(monkeypatch):
    """Ten seconds pass from one look to the next."""
    times = iter(range(0, 10_000, 10))
    monkeypatch.setattr("time.monotonic", lambda: next(times))


def test_a_run_says_how_it_stands(clock, caplog):
    run_state, best = RunState(steps_per_epoch=3, epochs=2), BestWeights()
    pace = Throughput(run_state, batch_size=20)
    steps, epochs = StepLogger(pace, RATES, every=2), EpochLogger(best, pace)
    with caplog.at_level(logging.INFO, "t2t_keras"):
        for epoch in range(2):
            pace.on_epoch_begin(epoch)
            for _ in range(3):
                run_state.step += 1
                pace.on_train_batch_end(0)
                steps.on_train_batch_end(0, {"loss": 1.25})
            run_state.history.append({})
            best.epoch = epoch
            epochs.on_epoch_end(epoch, {"val_accuracy": 0.5, "val_loss": 1.0})
    assert caplog.messages == [
        "epoch 1 of 2, step 2 of 3: loss 1.2500, 2 images/s, learning rate 0.5, 1 min 20 s left",
        "epoch 1 of 2: validation accuracy 0.5000, loss 1.0000; best accuracy: epoch 1; "
        "1 min 0 s left",
        "epoch 2 of 2, step 1 of 3: loss 1.2500, learning rate 0.25, 40 s left",
        "epoch 2 of 2, step 3 of 3: loss 1.2500, 1.33 images/s, learning rate 0.25",
        "epoch 2 of 2: validation accuracy 0.5000, loss 1.0000; best accuracy: epoch 2",
    ]


def test_the_bar_shows_images_per_second(clock, capsys):
    run_state = RunState(steps_per_epoch=2, epochs=7)
    pace = Throughput(run_state, batch_size=20)
    bar = Bar(pace)
    bar.set_params({"verbose": 0, "epochs": 1, "steps": 2})
    bar.on_train_begin()
    bar.on_epoch_begin(3)
    for batch in range(2):
        run_state.step += 1
        pace.on_train_batch_end(batch)
        bar.on_train_batch_end(batch, {"loss": 0.5})
    bar.on_epoch_end(3, {"loss": 0.5})
    shown = capsys.readouterr().out
    assert "Epoch 4/7" in shown and "images_per_second: 2.0" in shown and "loss: 0.5" in shown
