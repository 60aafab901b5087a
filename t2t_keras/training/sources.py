"""The pictures of a run: to train on, to choose the best weights on, and to test on at the end."""

import dataclasses

from t2t_keras.data import Source, is_folder, open_source
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


def _with_held_out(config: TrainConfig) -> RunSources:
    if is_folder(config.dataset, config.data_dir):
        raise ValueError(
            "`held_out` must be 0 for a folder of pictures; put the pictures to choose the weights "
            f"on into its val/ folder. Received: held_out={config.held_out}"
        )
    training = open_source(config.dataset, config.data_dir, validation_split=config.held_out)
    words = f"{training.num_eval} training pictures that were held out"
    return RunSources(training, open_test_source(config), words)
