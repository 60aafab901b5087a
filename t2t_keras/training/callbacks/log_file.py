"""The scores of every epoch as a table in a file."""

import csv
from pathlib import Path

import keras

from t2t_keras.files import atomic_path
from t2t_keras.training.callbacks.standing import Standing


class LogFile(keras.callbacks.Callback):
    """Writes the history as CSV, a line an epoch; always the whole file, so that it has no gaps.

    Args:
        path: The file.
        standing: Holds the history; moved on before this callback.
    """

    def __init__(self, path: Path, standing: Standing):
        super().__init__()
        self.path = path
        self.standing = standing

    def on_train_begin(self, logs=None):
        self._write()

    def on_epoch_end(self, epoch, logs=None):
        self._write()

    def _write(self) -> None:
        history = self.standing.history
        if not history:
            return
        with atomic_path(self.path) as part, open(part, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["epoch", *sorted(history[-1])], extrasaction="ignore")
            writer.writeheader()
            writer.writerows({"epoch": epoch, **logs} for epoch, logs in enumerate(history))
