"""The datasets of a run, opened and checked."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from t2t_keras.data.inspection import CheckedSplits, check_images
from t2t_keras.data.sources.source import Source, is_folder, open_source
from t2t_keras.errors import DataError, check
from t2t_keras.training.checkpoint.store import Checkpoint
from t2t_keras.training.config import TrainConfig
from t2t_keras.training.devices.processes import ALONE, Processes


@dataclasses.dataclass(frozen=True, eq=False)
class RunSources:
    """The datasets that a run reads."""

    training: Source  # its evaluation images choose the best weights
    test: Source  # its evaluation images give the final scores
    selected_on: str  # words for the images that the best weights are chosen on


def open_sources(config: TrainConfig) -> RunSources:
    """Opens the dataset of a run."""
    if config.held_out:
        tfds = not is_folder(config.dataset, config.data_dir)
        expected = "0 for a folder of images; put the images to choose the weights on into its val/"
        check(tfds, "held_out", config.held_out, f"{expected} folder")
        training = open_source(config.dataset, config.data_dir, validation_split=config.held_out)
        words = f"{training.num_eval} training images that were held out"
        return RunSources(training, open_test_source(config), words)
    source = open_source(
        config.dataset,
        config.data_dir,
        validation_split=config.validation_split,
        train_split=config.train_split,
        eval_split=config.eval_split,
    )
    words = f"the {source.num_eval} images that the test accuracy is measured on"
    return RunSources(source, source, words)


def open_test_source(config: TrainConfig, class_names: Sequence[str] = ()) -> Source:
    """Opens a dataset to evaluate on, a folder with its classes in the order of a model's."""
    return open_source(
        config.dataset,
        config.data_dir,
        validation_split=config.validation_split,
        eval_split=config.eval_split,
        evaluation_only=not config.validation_split,
        class_names=class_names,
    )


def check_sources(
    sources: RunSources, config: TrainConfig, inspected: Path | None = None
) -> tuple[RunSources, CheckedSplits]:
    """Reads every image of a run once, before a bad one can stop it."""
    training, test = sources.training, sources.test
    splits: dict[str, Any] = {"train": training.train_split, "evaluation": training.eval_split}
    if test is not training:
        splits["test"] = test.eval_split
    checked = check_images(
        splits, training.class_names, config.on_bad_image, config.max_bad_fraction, inspected
    )
    used = checked.splits
    training = dataclasses.replace(
        training, train_split=used["train"], eval_split=used["evaluation"]
    )
    test = dataclasses.replace(test, eval_split=used["test"]) if "test" in used else training
    return dataclasses.replace(sources, training=training, test=test), checked


def check_test_source(source: Source, config: TrainConfig) -> Source:
    """Leaves bad images out when skipping; otherwise the evaluation itself finds them."""
    if config.on_bad_image == "stop":
        return source
    checked = check_images(
        {"evaluation": source.eval_split},
        source.class_names,
        config.on_bad_image,
        config.max_bad_fraction,
    )
    return dataclasses.replace(source, eval_split=checked.splits["evaluation"])


def sources_of_run(
    config: TrainConfig,
    folder: Path,
    checkpoint: Checkpoint | None = None,
    processes: Processes = ALONE,
) -> tuple[RunSources, CheckedSplits]:
    """Opens and checks a run's datasets, the same in all processes and as in its checkpoint."""
    opened = processes.in_turn(lambda: open_sources(config))  # a dataset may be written first
    sources, checked = check_sources(opened, config, None if checkpoint is None else folder)
    sizes = [sources.training.num_train, sources.training.num_eval, sources.test.num_eval]
    most = [processes.highest(size) for size in sizes]
    if processes.highest(int(sizes != most)):
        raise DataError(
            f"{config.dataset}: process {processes.index} finds {sizes} images to train, "
            f"validate and test on, and the most found are {most}. Every machine must have the "
            "same dataset."
        )
    if checkpoint is not None:
        checked.check_same(checkpoint.progress.get("images", {}))
    return sources, checked
