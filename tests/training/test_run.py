import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from t2t_keras.data import inspection
from t2t_keras.errors import CheckpointError, DataError, ResumeError, TrainingError
from t2t_keras.images import load_image, preprocess_input
from t2t_keras.training import evaluate, make_config, train
from t2t_keras.training.checkpoint.run_state import RunState
from t2t_keras.training.checkpoint.store import checkpoint_path, newest_checkpoint
from t2t_keras.training.devices.run_devices import make_devices
from t2t_keras.training.inputs import translate_errors
from t2t_keras.training.model import build_model, compiled_model, load_run_weights
from t2t_keras.training.run_directory import settings_in
from t2t_keras.training.sources import open_sources
from tests.support.images import encode, noise
from tests.support.training.tiny_run import make_images


def accuracy_of(model, folder: Path) -> float:
    """Fraction of a folder's images that are right, each read and classified alone."""
    right = []
    for label, name in enumerate(sorted(path.name for path in folder.iterdir())):
        for path in sorted((folder / name).iterdir()):
            image = preprocess_input(load_image(path, model.input_shape[1:3]))
            right.append(model.predict(image[None], verbose=0).argmax() == label)
    return float(np.mean(right))


def test_a_run_keeps_its_best_weights_and_measures_them(finished, images):
    result, _ = finished
    history = result.history
    assert len(history["loss"]) == 3 and np.isfinite(history["loss"]).all()
    assert history["val_accuracy"][result.best_epoch] == max(history["val_accuracy"])
    expected = accuracy_of(result.model, images / "val")
    assert result.scores.accuracy == pytest.approx(expected)
    # Selected on the very images of the test, and says so.
    assert result.scores.accuracy == pytest.approx(max(history["val_accuracy"]))
    assert result.scores.loss == pytest.approx(history["val_loss"][result.best_epoch], rel=1e-4)
    assert "7 images that the test accuracy is measured on" in result.sources.selected_on
    assert result.scores.confusion.sum(axis=1).tolist() == [2, 2, 3]


def test_log_and_events_are_written(finished):
    result, folder = finished
    header, *rows = (folder / "log.csv").read_text().splitlines()
    assert len(rows) == 3
    assert {"epoch", "loss", "accuracy", "val_loss", "learning_rate"} <= set(header.split(","))
    run_id = settings_in(folder)["run_id"]
    assert newest_checkpoint(folder / "checkpoints").progress["run_id"] == run_id
    assert result.history["learning_rate"] == pytest.approx([1e-6, 0.0075025, 0.0025075])
    events = EventAccumulator(str(folder / "tensorboard" / "train"), {"images": 0, "tensors": 0})
    tags = events.Reload().Tags()["tensors"]
    assert {"first_batches", "epoch_loss", "epoch_learning_rate"} <= set(tags)
    shown = events.Tensors("first_batches")
    assert [event.step for event in shown] == [0, 1, 2, 3]
    for event in shown:
        assert len(event.tensor_proto.string_val) == 2 + 4  # their size, and one batch
    assert len({event.tensor_proto.string_val[2] for event in shown}) == 4


def test_a_run_in_bfloat16_with_all_that_changes_its_steps(tiny_config, images, tmp_path):
    """In float16 a whole run trains in `test_imagenet_trains_from_a_file`."""
    fields = {"ema_decay": 0.9, "accumulate": 2, "clip_grad": 1.0, "optimizer": "sgd"}
    result = train(tiny_config(precision="bfloat16", **fields), tmp_path / "run")
    history = result.history
    assert np.isfinite(history["loss"]).all()
    # By 0.03, as in float32: from a guess that is worse than none to one that is better.
    assert history["val_loss"][0] > np.log(3) + 0.01 > np.log(3) - 0.002 > history["val_loss"][2]
    assert {weight.dtype for weight in result.model.weights} == {"float32"}
    assert result.model.get_layer("head").compute_dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"
    assert not np.allclose(history["val_ema_loss"], history["val_loss"], rtol=1e-4)
    # It is the average that is kept and measured.
    assert history["val_ema_accuracy"][result.best_epoch] == max(history["val_ema_accuracy"])
    assert result.scores.loss == pytest.approx(history["val_ema_loss"][result.best_epoch], rel=1e-3)
    assert result.scores.accuracy == pytest.approx(accuracy_of(result.model, images / "val"))


def test_a_loss_that_is_no_number_ends_a_run(tiny_config, tmp_path):
    folder = tmp_path / "run"
    explodes = {"lr": 1e30, "warmup_epochs": 0, "save_every": 1}
    with pytest.raises(TrainingError, match=r"became nan in epoch 1, step [23] of 4") as raised:
        train(tiny_config(**explodes), folder)
    named = (folder / "stopped_at_batch.txt").read_text().splitlines()
    assert len(named) == 4 and all(Path(name).is_file() for name in named)
    kept = newest_checkpoint(folder / "checkpoints")
    assert str(checkpoint_path(folder / "checkpoints", kept.step)) in str(raised.value)
    assert all(np.isfinite(a).all() for a in kept.state.values() if a.dtype.kind == "f")


def test_saved_weights_give_the_same_scores_again(finished, tiny_config):
    result, folder = finished
    scores = evaluate(tiny_config(weights=str(folder / "model.keras"), batch_size=2))
    assert scores.loss == pytest.approx(result.scores.loss, rel=1e-5)
    np.testing.assert_array_equal(scores.confusion, result.scores.confusion)


def test_a_run_starts_from_weights_which_for_other_classes_cannot_be_evaluated(
    finished, tiny_config
):
    first, folder = finished
    config = tiny_config(weights=str(folder / "model.keras"))
    model, _ = compiled_model(config, 3, RunState(4, (0.1,)), make_devices(config.devices))
    np.testing.assert_equal(model.get_weights(), first.model.get_weights())
    other = build_model(config, classes=4, activation=None, drop_path_rate=0.0)
    load_run_weights(other, config, complete=False)
    np.testing.assert_equal(other.get_weights()[:-2], first.model.get_weights()[:-2])
    with pytest.raises(CheckpointError, match="no classifier for the 4 classes"):
        load_run_weights(other, config, complete=True)


def test_held_out_images_leave_the_test_unseen(tmp_path):
    sources = open_sources(make_config(data_dir=str(tmp_path)))
    held_out, test = (
        {example["image"].numpy() for example in source.evaluation()}
        for source in (sources.training, sources.test)
    )
    trained_on = {example["image"].numpy() for example in sources.training.train()}
    assert (len(trained_on), len(held_out), len(test)) == (1293, 144, 360)
    assert not trained_on & held_out and not (trained_on | held_out) & test
    assert sources.selected_on == "144 training images that were held out"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batch_size": 19}, "1 to the 18 training images"),
        ({"weights": "nowhere.keras"}, "`weights` argument"),
        ({"dataset": "./nowhere"}, "no such folder"),
        ({"devices": ("gpu:9",)}, "gpu:9"),
        ({"held_out": 0.1}, "`held_out` must be 0 for a folder"),
        ({"accumulate": 2}, "`accumulate=1`.* KERAS_BACKEND=tensorflow"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_made(
    fields, message, tiny_config, tmp_path, monkeypatch
):
    config = tiny_config(**fields)
    if "accumulate" in fields:
        monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match=message):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_damaged_image_is_named(tiny_config, tmp_path):
    damaged = make_images(tmp_path / "damaged")
    (damaged / "train" / "elm" / "003.jpg").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"elm/003\.jpg: no JPEG"):
        train(tiny_config(dataset=str(damaged)), tmp_path / "run")


@pytest.mark.parametrize("place", ["train/elm", "val/oak"])
def test_damage_that_only_training_meets_is_named(place, tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(inspection, "WHOLE_LIMIT", 0)  # so the ends of files are checked alone
    damaged, png = make_images(tmp_path / "damaged"), encode(noise(24, 32), "PNG")
    (damaged / place / "001.jpg").write_bytes(png[:500] + b"\0" * 400 + png[900:])
    with pytest.raises(DataError, match=f"^{damaged / place}/001.jpg: damaged or cut off"):
        train(tiny_config(dataset=str(damaged)), tmp_path / "run")


def test_memory_that_is_full_brings_advice(tiny_config, tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM")

    monkeypatch.setattr(keras.Model, "fit", fail)
    with pytest.raises(RuntimeError, match="smaller `batch_size`"):
        train(tiny_config(), tmp_path / "run")


def test_a_disk_that_is_full_is_not_taken_for_memory(finished):
    full = "runs/events.v2; No space left on device"
    with pytest.raises(TrainingError, match=f"^The disk is full: {full}") as raised:
        with translate_errors(finished[0].sources.training):
            raise tf.errors.ResourceExhaustedError(None, None, full)
    assert "batch_size" not in str(raised.value)


def test_a_finished_run_trains_no_more_and_gives_the_same_again(finished, tiny_config, monkeypatch):
    result, folder = finished
    monkeypatch.setattr(keras.Model, "fit", None)
    again = train(tiny_config(), folder)
    assert again.history == result.history and again.best_epoch == result.best_epoch
    assert again.scores.loss == result.scores.loss
    np.testing.assert_equal(again.model.get_weights(), result.model.get_weights())


def test_a_run_that_was_stopped_after_its_last_checkpoint_gets_its_whole_log(
    finished, tiny_config, tmp_path
):
    folder = Path(shutil.copytree(finished[1], tmp_path / "run"))
    whole = (folder / "log.csv").read_text()
    (folder / "log.csv").write_text("".join(whole.splitlines(keepends=True)[:-1]))
    train(tiny_config(), folder)
    assert (folder / "log.csv").read_text() == whole


def test_a_run_does_not_go_on_with_other_images(finished, tiny_config, images, tmp_path):
    folder = Path(shutil.copytree(finished[1], tmp_path / "run"))
    (folder / "inspection.json").unlink()
    image = images / "train" / "elm" / "003.jpg"
    renamed = image.rename(image.with_name("other.jpg"))
    try:
        with pytest.raises(ResumeError, match="'train', of 18; now they are 18 of 18, or others"):
            train(tiny_config(), folder)
    finally:
        renamed.rename(image)


def test_a_run_that_trained_longer_than_it_may_is_refused(finished, tiny_config, tmp_path):
    folder = Path(shutil.copytree(finished[1], tmp_path / "run"))
    shorter = tiny_config(epochs=2)
    with pytest.raises(ResumeError, match="`epochs` was 3, now 2"):
        train(shorter, folder)
    with pytest.raises(ResumeError, match="3 epochs are trained already, and 2 are asked for"):
        train(shorter, folder, override=["epochs"])
