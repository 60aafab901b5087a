import json
import shutil

import keras
import pytest

from t2t_keras.cli.evaluate import evaluation_config
from t2t_keras.cli.main import main
from t2t_keras.images.constants import CIFAR_MEAN, CIFAR_STD, IMAGENET_MEAN, IMAGENET_STD
from tests.support.images import make_folder
from tests.support.running import MODEL, line


def test_a_released_file_is_evaluated_as_its_authors_do(tmp_path):
    path = tmp_path / "cifar100_t2t-vit-19_89.0.pth"
    path.write_bytes(b"")
    given = {"weights": str(path), "dataset": "cifar100"}
    config, _ = evaluation_config(given)
    assert (config.model, config.image_size) == ("t2t_vit_19", (224, 224))
    assert (config.mean, config.std, config.crop_pct) == (CIFAR_MEAN, CIFAR_STD, 1.0)
    normal = evaluation_config({**given, "statistics": "imagenet"})[0].normalization
    assert normal == {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    assert evaluation_config({**given, "image_size": (320, 192)})[0].image_size == (320, 192)


@pytest.mark.parametrize("how", ["evaluate", "mode"])
def test_evaluation_takes_the_settings_of_the_run_and_finds_its_accuracy(how, finished, capsys):
    metrics = json.loads((finished.folder / "metrics.json").read_text())
    start = ["evaluate", finished.folder]
    if how == "mode":
        start = ["train", "--mode=evaluate", f"--weights={finished.folder}"]
    assert main(line(*start, batch_size=4)) == 0
    out = capsys.readouterr().out
    assert f"top-1 {metrics['test_accuracy']:.2%}" in out
    assert f"loss {metrics['test_loss']:.4f}" in out and "6 images" in out
    assert "top-5" not in out  # of three classes it is always right


def test_another_dataset_keeps_only_the_settings_of_the_model(finished, tmp_path):
    own, other = str(finished.images), str(tmp_path)
    for weights in (finished.folder, finished.folder / "model.keras"):
        for dataset, fraction in ((None, 0.2), (own, 0.2), (other, 0.0)):
            config, names = evaluation_config({"weights": str(weights), "dataset": dataset})
            assert (config.model, config.image_size, config.crop_pct) == (MODEL, (16, 24), 0.8)
            assert (config.mean, config.std) == ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
            assert (config.dataset, config.validation_split) == (dataset or own, fraction)
            assert names == ("ash", "elm", "oak")


def test_a_model_that_was_moved_away_knows_its_classes_and_settings(finished, tmp_path):
    moved = str(shutil.copy(finished.folder / "model.keras", tmp_path / "mine.keras"))
    given = {"weights": moved, "dataset": "digits", "model": MODEL}
    config, class_names = evaluation_config(given)
    assert config.crop_pct == 0.8
    assert class_names == ("ash", "elm", "oak")


@pytest.mark.parametrize("names", ["1 2 10", "a b c"])
def test_weights_without_class_names_meet_a_folder_in_an_order_that_is_said(
    names, finished, tmp_path, monkeypatch, capsys
):
    first, second, third = names.split()
    for number, own in ((first, "oak"), (second, "ash"), (third, "elm")):
        for copy in (tmp_path / "home" / "images" / number, tmp_path / "whole" / own):
            shutil.copytree(finished.images / own, copy)
            for path in sorted(copy.iterdir())[3 if own == "oak" else 8 :]:
                path.unlink()  # or a model that has learned nothing has the same loss in any order
    model = keras.saving.load_model(finished.folder / "model.keras", compile=False)
    model.save_weights(tmp_path / "home" / "nameless.weights.h5")
    (tmp_path / "home" / "names").write_text(f"{second}\n{third}\n{first}\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    flags = {"dataset": "~/images", "model": MODEL, "image_size": "16x24", "batch_size": 4}
    flags |= {"mean": "0.5,0.4,0.3", "std": "0.2,0.3,0.4", "crop_pct": 0.8}
    printed = []
    for labels in (None, "~/names"):
        assert main(line("evaluate", "~/nameless.weights.h5", labels=labels, **flags)) == 0
        printed.append(capsys.readouterr())
    first, second = (one.out.partition(" images: ")[2] for one in printed)
    said = "loader takes them: 3 (1, 2, 10, ...). By code points" in printed[0].err
    assert said == (names == "1 2 10") and "code points" not in printed[1].err
    whole = line("evaluate", finished.folder, dataset=tmp_path / "whole", batch_size=4)
    assert main([*whole, "--validation_split=0"]) == 0
    assert second in capsys.readouterr().out and first != second


def test_a_dataset_of_other_classes_cannot_be_evaluated(finished, tmp_path, capsys):
    others = make_folder(tmp_path, {"ash": 3, "elm": 3, "fir": 3})
    assert main(line("evaluate", finished.folder, dataset=others, batch_size=4)) == 1
    assert "its classes are 3 (ash, elm, fir, ...)" in capsys.readouterr().err
