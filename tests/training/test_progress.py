import logging

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from t2t_keras.training import make_config
from t2t_keras.training.checkpoint.run_state import RunState
from t2t_keras.training.progress import Progress

CONFIG = make_config(batch_size=20, log_every=2)


@pytest.fixture
def clock(monkeypatch):
    """Ten seconds pass from one look to the next."""
    times = iter(range(0, 10_000, 10))
    monkeypatch.setattr("time.monotonic", lambda: next(times))


def train(progress: Progress, state: RunState, epochs: int) -> None:
    for epoch in range(epochs):
        progress.begin_epoch()
        for _ in range(state.steps_per_epoch):
            state.step += 1
            progress.end_step({"loss": 1.25})
        logs = {"loss": 1.25, "val_accuracy": 0.5, "val_loss": 1.0, "learning_rate": 0.5}
        state.history.append(logs)
        state.best.epoch = epoch
        progress.end_epoch(epoch, logs)


def test_a_run_says_how_it_stands(clock, caplog, tmp_path):
    state = RunState(steps_per_epoch=3, rates=(0.5, 0.25))
    progress = Progress(tmp_path, CONFIG, state, verbose=2)
    with caplog.at_level(logging.INFO, "t2t_keras"):
        train(progress, state, epochs=2)
    assert caplog.messages == [
        "epoch 1 of 2, step 2 of 3: loss 1.2500, 2 images/s, learning rate 0.5, 40 s left",
        "epoch 1 of 2: validation accuracy 0.5000, loss 1.0000; best accuracy: epoch 1; 45 s left",
        "epoch 2 of 2, step 1 of 3: loss 1.2500, learning rate 0.25, 27 s left",
        "epoch 2 of 2, step 3 of 3: loss 1.2500, 2 images/s, learning rate 0.25",
        "epoch 2 of 2: validation accuracy 0.5000, loss 1.0000; best accuracy: epoch 2",
    ]
    assert (tmp_path / "log.csv").read_text().splitlines() == [
        "epoch,learning_rate,loss,val_accuracy,val_loss",
        "0,0.5,1.25,0.5,1.0",
        "1,0.5,1.25,0.5,1.0",
    ]
    for part, other in (("train", "epoch_learning_rate"), ("validation", "epoch_accuracy")):
        events = EventAccumulator(str(tmp_path / "tensorboard" / part)).Reload()
        assert set(events.Tags()["tensors"]) == {"epoch_loss", other}
        assert [event.step for event in events.Tensors("epoch_loss")] == [0, 1]


def test_the_bar_shows_images_per_second(clock, capsys, tmp_path):
    state = RunState(steps_per_epoch=2, rates=(0.5,) * 7, step=6, history=[{}] * 3)
    progress = Progress(tmp_path, CONFIG, state, verbose=1)
    train(progress, state, epochs=1)
    shown = capsys.readouterr().out
    assert "Epoch 4/7" in shown and "images_per_second: 2.0" in shown and "loss: 1.25" in shown
    assert "2/2" in shown and "val_accuracy: 0.5" in shown
