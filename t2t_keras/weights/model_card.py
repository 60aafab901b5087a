"""What a `.keras` file says of its model beside the architecture: class names and preprocessing.

It stands in the file's `metadata.json`, in which Keras itself says which version wrote it.
"""

import dataclasses
import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

from t2t_keras.errors import CheckpointError
from t2t_keras.images.constants import DEFAULT_CROP_PCT, STATISTICS

_MEMBER, _KEY = "metadata.json", "t2t_keras"
_LONGEST = 16 * 2**20  # bytes


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """What has to be known to use a classifier.

    Args:
        class_names: In the order of its outputs.
        crop_pct: Share of the resized side that the evaluation's crop keeps, in (0, 1].
        statistics: Whose channel means and deviations pictures are normalised by, a name in
            `STATISTICS`.
    """

    class_names: tuple[str, ...]
    crop_pct: float = DEFAULT_CROP_PCT
    statistics: str = "imagenet"


def add_card(path: Path, card: ModelCard) -> None:
    """Writes a card into a `.keras` file that nobody reads yet.

    Args:
        path: Written by Keras just now.
        card: What to say.
    """
    part = path.with_name(f"{path.name}.card")
    try:
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(part, "w") as new:
            for info in old.infolist():
                if info.filename == _MEMBER:
                    said = {**json.loads(old.read(info)), _KEY: dataclasses.asdict(card)}
                    new.writestr(info, json.dumps(said))
                    continue
                with old.open(info) as source, new.open(info, "w", force_zip64=True) as target:
                    while block := source.read(2**20):
                        target.write(block)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read_card(path: str | os.PathLike) -> ModelCard | None:
    """What a `.keras` file says of its model; None where it says nothing.

    Raises:
        CheckpointError: The file is damaged, or what it says is no card.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(_MEMBER)
            if info.file_size > _LONGEST:
                raise ValueError(f"{_MEMBER} has {info.file_size} bytes")
            said = json.loads(archive.read(info)).get(_KEY)
        return None if said is None else _card(said)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise CheckpointError(
            f"{path}: cannot be read, or says of its model what makes no sense ({error}). Write or "
            "download it again."
        ) from error


def _card(said: dict) -> ModelCard:
    names, crop_pct = said["class_names"], float(said["crop_pct"])
    if not _are_names(names) or not 0 < crop_pct <= 1 or said["statistics"] not in STATISTICS:
        raise ValueError(f"unknown {_KEY} in {_MEMBER}")
    return ModelCard(tuple(names), crop_pct, said["statistics"])


def _are_names(names: Sequence) -> bool:
    return isinstance(names, list) and all(isinstance(name, str) for name in names)
