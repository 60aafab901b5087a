"""Transfer: a backbone that learned some digits helps with others."""

import dataclasses
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from t2t_keras import T2TViT, Variant, preprocess_input
from t2t_keras.errors import DataError, ResumeError
from t2t_keras.files import digest_of
from t2t_keras.training import make_config, run, train
from t2t_keras.training.checkpoint.store import checkpoint_path, newest_checkpoint
from t2t_keras.training.inputs import validation_batches
from t2t_keras.training.linear_probe import cached_features, features_origin
from t2t_keras.training.model import build_model, check_freeze, load_run_weights
from t2t_keras.weights.convert import write_model
from tests.support.training.tiny_run import contents

SMALL = Variant(
    embed_dim=32,
    depth=2,
    num_heads=2,
    mlp_ratio=2.0,
    token_dim=16,
    token_type="convolution",
    soft_splits=((3, 2, 1), (3, 1, 1), (3, 2, 1)),
    image_size=16,
)


def enlarged(image) -> Image.Image:
    return Image.fromarray((image * 15.9).astype(np.uint8)).resize((16, 16), Image.BICUBIC)


def taught(images, labels, batch_size: int, epochs: int) -> keras.Model:
    """A model that starts from random weights."""
    keras.utils.set_random_seed(0)
    model = T2TViT(SMALL, weights=None, classes=max(labels) + 1)
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)  # else the step is traced twice
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
    rates = keras.callbacks.LearningRateScheduler(
        lambda epoch: 3e-3 if 0 < epoch < epochs - 2 else 1e-3
    )
    pixels = preprocess_input(np.stack(images))
    model.fit(pixels, np.array(labels), batch_size, epochs, verbose=0, callbacks=[rates])
    return model


def of_the_larger_digits(path: Path, positions: int, epochs: int) -> Path:
    """Writes weights of a model that tells 5 to 9 apart, each in so many positions."""
    digits, images, labels = load_digits(), [], []
    for pixels, digit in zip(digits.images, digits.target, strict=True):
        image = np.asarray(enlarged(pixels).convert("RGB"))
        for turns in range(positions if digit >= 5 else 0):
            images.append(np.rot90(image, turns))
            labels.append(positions * (digit - 5) + turns)
    write_model(taught(images, labels, 64, epochs), path)
    return path


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """More than five classes teach more of what digits are made of: ten seconds, for one test."""
    return of_the_larger_digits(tmp_path_factory.mktemp("pretrained") / "first.weights.h5", 2, 10)


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """The digits 0 to 4: 12 of each to train on, 60 to evaluate on."""
    digits, root = load_digits(), tmp_path_factory.mktemp("others")
    for name in range(5):
        of_class = digits.images[digits.target == name][:72]
        for number, image in enumerate(of_class):
            folder = root / ("train" if number < 12 else "val") / str(name)
            folder.mkdir(parents=True, exist_ok=True)
            enlarged(image).save(folder / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Weights that have learned a little."""
    return of_the_larger_digits(tmp_path_factory.mktemp("begun") / "first.weights.h5", 1, 15)


@pytest.fixture(scope="module")
def asked(others, begun):
    """Makes settings of a transfer; every field can be given."""
    start = {"transfer": True, "weights": str(begun)}
    fields = {
        **{"dataset": str(others), "model": SMALL, **start},
        **{"batch_size": 10, "epochs": 5, "lr": 0.1, "devices": ("cpu:0",)},
    }
    return lambda **given: make_config(**{**fields, **given})


@pytest.fixture
def unmeasured(monkeypatch):
    """Runs end without a look at the test images."""
    monkeypatch.setattr(run, "predict_and_score", lambda *_: None)


def test_a_transferred_backbone_beats_the_same_budget_from_scratch(
    asked, others, pretrained, unmeasured, tmp_path
):
    """By some 35 points: by none where the weights are not loaded, or all takes the classifier's
    steps, at which a backbone is lost, or all the backbone's, which teach no classifier."""
    given = {"augment": "none", "epochs": 3, "backbone_lr_ratio": 0.001}
    config = asked(weights=str(pretrained), **given)
    transferred = train(config, tmp_path / "transferred").history["val_accuracy"]
    images, labels = read(others / "train")
    model = taught(images, labels, config.batch_size, config.epochs)
    images, labels = read(others / "val")
    found = model.predict(preprocess_input(np.stack(images)), verbose=0).argmax(axis=1)
    assert max(transferred) > np.mean(found == labels) + 0.2


def read(folder: Path) -> tuple[list[np.ndarray], list[int]]:
    """Images and labels of a folder of classes."""
    files = sorted(folder.glob("*/*.png"))
    images = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    return images, [int(file.parent.name) for file in files]


@pytest.fixture(scope="module")
def probe(asked):
    """With all that a probe can have; at this rate the loss soon gets no better."""
    groups = {"freeze": "backbone", "optimizer": "adamw", "weight_decay": 0.05}
    steps = {"lr": 0.2, "warmup_epochs": 0, "accumulate": 2, "ema_decay": 0.5, "save_every": 4}
    early = {"patience": 2, "monitor": "val_loss"}
    return asked(class_weight="balanced", **groups, **steps, **early)


@pytest.fixture(scope="module")
def probed(probe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("probe") / "run"
    return train(probe, folder), folder


def assert_only_moved(model: keras.Model, start: Path, parts: tuple[str, ...], least: float):
    """Those parts of a model have moved from their first weights, and nothing else."""
    before = T2TViT(SMALL, weights=str(start), classes=5)
    after = {variable.path: variable.numpy() for variable in model.variables}
    for variable in before.variables:
        if variable.path.startswith(parts):
            assert np.abs(after[variable.path] - variable.numpy()).max() > least, variable.path
        elif "seed_generator" not in variable.path:
            np.testing.assert_array_equal(after[variable.path], variable.numpy())


def test_a_probe_trains_the_classifier_alone(probed, begun):
    result, _ = probed
    assert_only_moved(result.model, begun, ("head/",), 1e-3)
    assert result.scores.accuracy > 0.3  # of five classes, from a backbone that knows little: 0.4


def test_a_probe_s_features_are_those_of_its_images(probe, probed):
    result, folder = probed
    batches = validation_batches(probe, result.sources.training)
    images, targets, _ = next(batches.as_numpy_iterator())
    backbone = keras.Model(result.model.input, result.model.get_layer("pooling").output)
    with np.load(folder / "features.npz") as kept:
        np.testing.assert_allclose(kept["evaluation"][:10], backbone(images), atol=1e-5)
        np.testing.assert_array_equal(kept["evaluation_labels"][:10], targets.argmax(axis=1))
        assert kept["training"].shape == (60, 32)


def test_a_probe_keeps_its_best_average(probed):
    result, folder = probed
    assert result.scores.loss == pytest.approx(min(result.history["val_ema_loss"]), rel=1e-5)
    assert result.scores.loss != pytest.approx(min(result.history["val_loss"]), rel=1e-3)
    assert newest_checkpoint(folder / "checkpoints").step == 6 * len(result.history["loss"])


def test_a_run_that_gets_no_better_ends_early_and_stays_ended(
    probe, probed, unmeasured, caplog, monkeypatch
):
    result, folder = probed
    epochs = len(result.history["loss"])
    assert result.best_epoch + 1 + probe.patience == epochs < probe.epochs
    monkeypatch.setattr(keras.Model, "fit", None)
    with caplog.at_level("INFO", "t2t_keras"):
        assert train(probe, folder).history == result.history
    assert f"{folder}: ended early, after {epochs} epochs." in caplog.messages
    assert "resumes" not in caplog.text


def test_a_probe_that_is_killed_ends_as_if_it_had_not_been(probe, probed, unmeasured, tmp_path):
    folder = Path(shutil.copytree(probed[1], tmp_path / "run"))
    checkpoints = folder / "checkpoints"
    last = newest_checkpoint(checkpoints).step
    checkpoint_path(checkpoints, last).unlink()
    assert newest_checkpoint(checkpoints).step == last - 2  # in mid-epoch
    train(probe, folder)
    assert contents(folder) == contents(probed[1])


def test_frozen_blocks_stay_and_the_others_learn(asked, begun, unmeasured, tmp_path):
    """To the end of a run whose weight decay would move whatever it is asked to."""
    given = {"freeze": "1", "optimizer": "adamw", "weight_decay": 0.5, "lr": 0.01}
    result = train(asked(epochs=1, augment="none", **given), tmp_path / "run")
    trained = ("encoder_block_1/", "encoder_norm/", "head/")
    assert_only_moved(result.model, begun, trained, 1e-4)
    result.model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert all(variable.path.startswith(trained) for variable in loaded.trainable_variables)


@pytest.mark.parametrize(
    ("name", "value"), [("backbone_lr_ratio", 0.5), ("freeze", "1"), ("transfer", False)]
)
def test_a_run_does_not_go_on_with_other_groups(name, value, probe, probed):
    other = dataclasses.replace(probe, **{name: value})
    old = getattr(probe, name)
    with pytest.raises(ResumeError, match=f"`{name}` was {old}, now {value}"):
        train(other, probed[1])


def test_damaged_features_are_named(probe, probed, tmp_path):
    (tmp_path / "features.npz").write_bytes((probed[1] / "features.npz").read_bytes()[:999])
    with pytest.raises(DataError, match=r"features\.npz: is damaged"):
        cached_features(None, probe, probed[0].sources.training, tmp_path, None, "")


def test_features_of_other_weights_or_images_are_not_kept(probe, probed):
    facts = newest_checkpoint(probed[1] / "checkpoints").progress
    with np.load(probed[1] / "features.npz") as kept:
        assert features_origin(facts) == str(kept["origin"])
    assert facts["backbone"] == digest_of(Path(probe.weights))
    for name in ("backbone", "images"):
        assert features_origin({**facts, name: "others"}) != features_origin(facts)


def test_a_classifier_does_not_go_on_over_another_backbone(probe, probed):
    weights = Path(probe.weights)
    content = weights.read_bytes()
    try:
        weights.write_bytes(content + b"other")
        with pytest.raises(ResumeError, match=f"^{weights}: is not the file that the run's"):
            train(probe, probed[1])
    finally:
        weights.write_bytes(content)


def test_one_process_alone_computes_features():
    check_freeze("backbone", SMALL)
    check_freeze("2", SMALL, processes=2)
    with pytest.raises(ValueError, match="several processes .*Received: freeze=backbone"):
        check_freeze("backbone", SMALL, processes=2)


def test_a_classifier_for_as_many_classes_starts_afresh_too(asked, tmp_path):
    config = asked(weights=str(tmp_path / "of_five.weights.h5"))
    write_model(T2TViT(SMALL, weights=None, classes=5), config.weights)
    model = build_model(config, 5, None, 0.0)
    fresh = model.get_layer("head").get_weights()
    load_run_weights(model, config, complete=False)
    np.testing.assert_equal(model.get_layer("head").get_weights(), fresh)
    load_run_weights(model, config, complete=True)
    assert np.abs(model.get_layer("head").get_weights()[0] - fresh[0]).max() > 1e-3
