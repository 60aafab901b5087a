import json
import shutil

import pytest

from t2t_keras.cli import settings
from t2t_keras.cli.settings import evaluation_config
from t2t_keras.cli.train import run
from tests.support.images import make_folder
from tests.support.running import MODEL, asked_for


def test_a_released_file_is_evaluated_as_its_authors_do(tmp_path):
    path = tmp_path / "cifar100_t2t-vit-19_89.0.pth"
    path.write_bytes(b"")
    config, _ = evaluation_config({"weights": str(path), "dataset": "cifar100"})
    assert (config.model, config.image_size) == ("t2t_vit_19", (224, 224))
    assert (config.statistics, config.crop_pct) == ("cifar", 1.0)
    given = {"weights": str(path), "dataset": "cifar100", "image_size": ["320x192"]}
    assert evaluation_config(given)[0].image_size == (320, 192)


def test_eval_takes_the_run_s_settings_and_finds_its_accuracy(finished, capsys):
    metrics = json.loads((finished.folder / "metrics.json").read_text())
    assert run(asked_for("", mode="eval", weights=str(finished.folder), batch_size=4)) == 0
    out = capsys.readouterr().out
    assert f"top-1 {metrics['test_accuracy']:.2%}" in out
    assert f"loss {metrics['test_loss']:.4f}" in out and "6 images" in out
    assert "top-5" not in out  # of three classes it is always right


def test_what_a_run_says_of_itself_is_read_once(finished, monkeypatch):
    read = []
    loads = json.loads
    monkeypatch.setattr(settings.json, "loads", lambda text: read.append(text) or loads(text))
    config, class_names = evaluation_config({"weights": str(finished.folder)})
    assert (config.model, class_names) == (MODEL, ("ash", "elm", "oak"))
    assert len(read) == 1


@pytest.mark.parametrize(("other", "share"), [(False, 0.2), (True, 0.0)])
def test_another_data_set_keeps_the_model_s_settings_alone(other, share, finished, tmp_path):
    dataset = str(tmp_path if other else finished.images)
    given = {"weights": str(finished.folder / "model.keras"), "dataset": dataset}
    config, _ = evaluation_config(given)
    assert (config.model, config.image_size, config.crop_pct) == (MODEL, (16, 24), 0.8)
    assert (config.dataset, config.validation_split) == (dataset, share)


def test_a_model_that_was_moved_away_knows_its_classes_and_settings(finished, tmp_path):
    moved = str(shutil.copy(finished.folder / "model.keras", tmp_path / "mine.keras"))
    given = {"weights": moved, "dataset": "digits", "model": MODEL}
    config, class_names = evaluation_config(given)
    assert config.crop_pct == 0.8
    assert class_names == ("ash", "elm", "oak")


def test_a_data_set_of_other_classes_cannot_be_evaluated(finished, tmp_path, capsys):
    others = make_folder(tmp_path, {"ash": 3, "elm": 3, "fir": 3})
    asked = asked_for(
        "", mode="eval", weights=str(finished.folder), dataset=str(others), batch_size=4
    )
    assert run(asked) == 1
    assert "its classes are 3 (ash, elm, fir, ...)" in capsys.readouterr().err


def test_a_damaged_metrics_file_is_named(tmp_path, capsys):
    (tmp_path / "metrics.json").write_text('{"settings": 3}')
    (tmp_path / "model.keras").write_bytes(b"")
    assert run(asked_for("", mode="eval", weights=str(tmp_path))) == 1
    assert f"{tmp_path / 'metrics.json'}: is not what a run writes" in capsys.readouterr().err
