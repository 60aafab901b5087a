"""What several processes open alike: the run's folder, which the first one holds, and the data."""

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path

from t2t_keras.data import UsableParts
from t2t_keras.errors import CheckpointError, DataError, ResumeError
from t2t_keras.training.callbacks import Checkpoint, checkpoint_path, read_checkpoint
from t2t_keras.training.config import TrainConfig
from t2t_keras.training.devices import Processes
from t2t_keras.training.run_folder import CHECKPOINTS_NAME, open_run, sole_run
from t2t_keras.training.sources import RunSources, open_sources, usable_sources


@contextlib.contextmanager
def sole_run_of(processes: Processes, folder: Path) -> Iterator[None]:
    """`sole_run` in the first process; the others wait until it holds the folder.

    Raises:
        ResumeError: Another run works there.
        OSError: The folder cannot be made.
    """
    with contextlib.ExitStack() as stack:
        processes.from_first(lambda: stack.enter_context(sole_run(folder)))
        yield


def open_run_of(
    processes: Processes,
    folder: Path,
    config: TrainConfig,
    resume: bool = True,
    override: Collection[str] = (),
) -> Checkpoint | None:
    """`open_run`, with the same checkpoint in all processes; raises what it raises."""
    opened: list[Checkpoint | None] = []

    def step_of_first() -> int | None:
        opened.append(open_run(folder, config, resume, override))
        return None if opened[0] is None else opened[0].step

    step = processes.from_first(step_of_first)
    if processes.first or step is None:
        return opened[0] if opened else None
    try:
        return read_checkpoint(checkpoint_path(folder / CHECKPOINTS_NAME, step))
    except CheckpointError as error:
        raise ResumeError(
            f"{error} Process 0 goes on from there, and process {processes.number} must read it "
            "too: --output_dir must be a folder that all machines share."
        ) from error


def usable_sources_of(
    processes: Processes, config: TrainConfig, folder: Path, checkpoint: Checkpoint | None
) -> tuple[RunSources, UsableParts]:
    """`usable_sources` of `open_sources`, the same in all processes and as in the checkpoint.

    Raises:
        ResumeError: The run that goes on was started with other pictures.
        DataError: As those do, or the processes do not find as many pictures.
    """
    opened = processes.in_turn(lambda: open_sources(config))  # a data set may be written first
    sources, usable = usable_sources(opened, config, checkpoint and folder)
    sizes = [sources.training.num_train, sources.training.num_eval, sources.test.num_eval]
    most = [processes.highest(size) for size in sizes]
    if processes.highest(int(sizes != most)):
        raise DataError(
            f"{config.dataset}: process {processes.number} finds {sizes} pictures to train, "
            f"validate and test on, and the most found are {most}. Every machine must have the "
            "same data set."
        )
    if checkpoint is not None:
        usable.check_same(checkpoint.progress.get("pictures", {}))
    return sources, usable
