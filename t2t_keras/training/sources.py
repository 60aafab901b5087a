"""The pictures of a run: to train on, to choose the best weights on, and to test on at the end."""

import dataclasses
from pathlib import Path

from t2t_keras.data import Source, UsableParts, is_folder, open_source, usable_parts
from t2t_keras.training.config import TrainConfig


@dataclasses.dataclass(frozen=True, eq=False)
class RunSources:
    """What a run reads.

    Args:
        training: Its training part is trained on; on its evaluation part the best weights are
            chosen.
        test: Its evaluation part is what the final accuracy is measured on.
        selected_on: Says in words what the best weights are chosen on.
    """

    training: Source
    test: Source
    selected_on: str


def open_sources(config: TrainConfig) -> RunSources:
    """Opens the data set of a run.

    Raises:
        DataError: There is no such data set, or it cannot be used.
        ValueError: A setting does not fit it.
    """
    if config.held_out:
        return _with_held_out(config)
    source = open_source(
        config.dataset,
        config.data_dir,
        validation_split=config.validation_split,
        train_split=config.train_split,
        eval_split=config.eval_split,
    )
    words = f"the {source.num_eval} pictures that the test accuracy is measured on"
    return RunSources(source, source, words)


def open_test_source(config: TrainConfig) -> Source:
    """Opens a data set to evaluate on alone; raises what `open_sources` raises."""
    return open_source(
        config.dataset,
        config.data_dir,
        validation_split=config.validation_split,
        eval_split=config.eval_split,
        evaluation_only=not config.validation_split,
    )


def usable_sources(
    sources: RunSources, config: TrainConfig, kept: Path | None = None
) -> tuple[RunSources, UsableParts]:
    """Looks at every picture of a run once, before it costs anything.

    Args:
        sources: As `open_sources` makes them.
        config: Says what to do about bad pictures.
        kept: The run's folder where it goes on, so that unchanged files are not looked at again.

    Returns:
        The sources without what is left out, and what the run's folder is told with `write`.

    Raises:
        DataError: A picture cannot be used; when skipping, too many, or all of a class.
    """
    training, test = sources.training, sources.test
    splits = {"train": training.train_split, "evaluation": training.eval_split}
    if test is not training:
        splits["test"] = test.eval_split
    usable = _usable(splits, training, config, kept)
    used = usable.splits
    training = dataclasses.replace(
        training, train_split=used["train"], eval_split=used["evaluation"]
    )
    if "test" not in used:
        return dataclasses.replace(sources, training=training, test=training), usable
    test = dataclasses.replace(test, eval_split=used["test"])
    return dataclasses.replace(sources, training=training, test=test), usable


def usable_test_source(source: Source, config: TrainConfig) -> Source:
    """The same for a data set that is only evaluated on: once, so that only skipping needs a look.

    Raises:
        DataError: When skipping, too many pictures cannot be used, or all of a class.
    """
    if config.on_bad_image == "stop":
        return source
    usable = _usable({"evaluation": source.eval_split}, source, config, None)
    return dataclasses.replace(source, eval_split=usable.splits["evaluation"])


def _usable(splits, source: Source, config: TrainConfig, kept: Path | None) -> UsableParts:
    return usable_parts(
        splits, source.class_names, config.on_bad_image, config.max_bad_fraction, kept
    )


def _with_held_out(config: TrainConfig) -> RunSources:
    if is_folder(config.dataset, config.data_dir):
        raise ValueError(
            "`held_out` must be 0 for a folder of pictures; put the pictures to choose the weights "
            f"on into its val/ folder. Received: held_out={config.held_out}"
        )
    training = open_source(config.dataset, config.data_dir, validation_split=config.held_out)
    words = f"{training.num_eval} training pictures that were held out"
    return RunSources(training, open_test_source(config), words)
