import dataclasses
import os
import shutil

import pytest

from t2t_keras.errors import DataError
from t2t_keras.training import make_config
from t2t_keras.training.sources import (
    check_sources,
    check_test_source,
    open_sources,
    open_test_source,
)


@pytest.fixture
def config(images, tmp_path):
    """18 + 7 images, one of each part cut off."""
    root = shutil.copytree(images, tmp_path / "images")
    for name in ("train/elm/002.jpg", "val/oak/001.jpg"):
        os.truncate(root / name, 40)
    return make_config(dataset=str(root), on_bad_image="skip", max_bad_fraction=0.2)


def test_every_part_of_a_run_is_looked_at(config, tmp_path):
    sources, parts = check_sources(open_sources(config), config)
    assert (sources.training.num_train, sources.training.num_eval) == (17, 6)
    assert sources.test is sources.training
    parts.write(tmp_path)
    lines = (tmp_path / "skipped_files.txt").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["train", "evaluation"]
    assert "elm/002.jpg" in lines[0] and "oak/001.jpg" in lines[1]


def test_stop_comes_before_the_run(config):
    stopping = dataclasses.replace(config, on_bad_image="stop")
    with pytest.raises(DataError, match=r"train/elm/002.jpg: damaged.* 2 of 25 images"):
        check_sources(open_sources(stopping), stopping)


def test_test_images_of_their_own_are_a_part_beside_the_held_out_ones(config):
    opened = open_sources(config)
    held_out = dataclasses.replace(opened.training, eval_split=opened.training.train_split)
    sources, parts = check_sources(dataclasses.replace(opened, training=held_out), config)
    sizes = {name: found.size for name, found in parts.inspections.items()}
    assert sizes == {"train": 18, "evaluation": 18, "test": 7}
    assert (sources.training.num_eval, sources.test.num_eval) == (17, 6)


def test_an_evaluation_skips_and_otherwise_finds_out_by_itself(config):
    source = open_test_source(config)
    assert check_test_source(source, config).num_eval == 6
    stopping = dataclasses.replace(config, on_bad_image="stop")
    assert check_test_source(source, stopping) is source
