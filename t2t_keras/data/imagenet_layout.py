"""ImageNet as Kaggle hands it out: train/ and val/ lie deep, and the labels of val/ in a table."""

import csv
from pathlib import Path

from t2t_keras.errors import DataError

LABELS_NAME = "LOC_val_solution.csv"

_DEEP = "ILSVRC/Data/CLS-LOC"


def picture_root(root: Path) -> Path:
    """Where train/ and val/ lie: in `root`, or where ImageNet's archive has them below it."""
    deep = (root / _DEEP, root / Path(_DEEP).relative_to("ILSVRC"))
    return next((folder for folder in deep if folder.is_dir()), root)


def find_labels(folder: Path) -> Path | None:
    """The table of a flat folder's labels, in it or above it, as high up as the archive has it."""
    levels = 1 + len(Path(_DEEP).parts)
    places = (folder.absolute(), *folder.absolute().parents[:levels])
    return next((at / LABELS_NAME for at in places if (at / LABELS_NAME).is_file()), None)


def read_labels(path: Path) -> dict[str, str]:
    """Reads the table: a picture's name without suffix -> its class, as "n01440764".

    Raises:
        DataError: It is no such table.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            return {row["ImageId"]: row["PredictionString"].split()[0] for row in rows}
    except (OSError, ValueError, KeyError, IndexError, AttributeError, csv.Error) as error:
        raise DataError(
            f"{path}: is not the table of labels that Kaggle hands out with ImageNet "
            f"({type(error).__name__}: {error}). Its columns are ImageId and PredictionString; "
            "download it again, or put the pictures into a folder a class."
        ) from error
