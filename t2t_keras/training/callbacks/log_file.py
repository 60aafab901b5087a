"""The scores of every epoch as a table in a file."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras

from t2t_keras.files import atomic_path
from t2t_keras.training.callbacks.standing import Standing


class LogFile(keras.callbacks.Callback):
    """Writes the log after every epoch.

    Args:
        path: The file.
        standing: Holds the history; moved on before this callback.
    """

    def __init__(self, path: Path, standing: Standing):
        super().__init__()
        self.path = path
        self.standing = standing

    def on_epoch_end(self, epoch, logs=None):
        write_log(self.path, self.standing.history)


def write_log(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Writes a history as CSV, a line an epoch; always the whole file, so that it has no gaps."""
    if not history:
        return
    with atomic_path(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["epoch", *sorted(history[-1])], extrasaction="ignore")
        writer.writeheader()
        writer.writerows({"epoch": epoch, **logs} for epoch, logs in enumerate(history))
