"""The callbacks of a run, in the order they are called in."""

from pathlib import Path

import keras

from t2t_keras.data import Source, batch_names
from t2t_keras.training.callbacks import (
    AveragedScores,
    Bar,
    EndEarly,
    EpochLine,
    KeepCheckpoints,
    LogFile,
    LogRate,
    Pace,
    StepLine,
    StopAtNonFinite,
    blame,
)
from t2t_keras.training.config import BACKBONE, TrainConfig
from t2t_keras.training.devices import Batches
from t2t_keras.training.optimization import EpochRates
from t2t_keras.training.run_folder import LOG_NAME

TENSORBOARD_NAME = "tensorboard"


def run_callbacks(
    config: TrainConfig,
    source: Source,
    validation: Batches,
    keeper: KeepCheckpoints,
    end: EndEarly,
    rates: EpochRates,
    folder: Path,
    verbose: int,
) -> list[keras.callbacks.Callback]:
    """Nothing is kept or shown before it was found finite.

    Args:
        config: The settings.
        source: What is trained on.
        validation: What `fit` measures the weights on.
        keeper: Writes checkpoints; knows standing, best weights and processes.
        end: Ends the run early.
        rates: The learning rates.
        folder: The run's.
        verbose: 0 a line an epoch, 1 Keras' bar too, 2 a line every `log_every` steps.
    """
    standing, best = keeper.standing, keeper.best

    def explain(epoch: int, step: int) -> str:
        if not keeper.processes.first:
            return "Process 0 names the batch."
        if config.freeze == BACKBONE:
            return "It comes of features that were computed before."
        names = batch_names(source, config.batch_size, config.seed, epoch, step)
        return blame(names, folder, keeper.last_path)

    pace = Pace(standing, config.batch_size)
    found = [
        StopAtNonFinite(standing, explain),
        LogRate(rates),
        *([AveragedScores(validation)] if best.averaged else []),
        best,
    ]
    if not keeper.processes.first:
        return [*found, keeper, end]
    return [
        *found,
        *([Bar(pace)] if verbose == 1 else []),
        keras.callbacks.TensorBoard(folder / TENSORBOARD_NAME, write_graph=False),
        keeper,
        LogFile(folder / LOG_NAME, standing),
        pace,
        EpochLine(best, pace),
        *([StepLine(pace, rates, config.log_every)] if verbose == 2 else []),
        end,
    ]
