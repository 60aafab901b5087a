"""`.safetensors` files: the authors' keys and layout, in a format that holds arrays and no code."""

import dataclasses
import io
import json
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from t2t_keras.errors import CheckpointError
from t2t_keras.files import atomic_path
from t2t_keras.images.constants import DEFAULT_CROP_PCT, STATISTICS
from t2t_keras.weights.torch_reader import printable


class _Hdf5Buffer(io.BytesIO):
    """Memory that `keras.Model.save_weights` takes for a file: of a path it asks only the end."""

    def __str__(self) -> str:
        return "memory.weights.h5"


def save_weights(model: keras.Model, path: Path) -> None:
    """Writes what `model.save_weights(path)` would; a file that was there stays until it is done.

    Keras overwrites in place, and where the disk is full in the middle of it the HDF5 library
    crashes the process at its end. So the file is made in memory, which must have room for it.

    Args:
        model: A built model.
        path: Ends in `.weights.h5`.

    Raises:
        ValueError: `path` ends otherwise, or the model is not built.
        OSError: The file cannot be written.
    """
    if not path.name.endswith(".weights.h5"):
        raise ValueError(f"`path` must end in `.weights.h5`. Received: path={path}")
    buffer = _Hdf5Buffer()
    model.save_weights(buffer)
    with atomic_path(path) as part:
        part.write_bytes(buffer.getbuffer())


_MEMBER, _KEY = "metadata.json", "t2t_keras"
_LONGEST = 16 * 2**20  # bytes


@dataclasses.dataclass(frozen=True)
class ModelMetadata:
    """What has to be known to use a classifier.

    Args:
        class_names: In the order of its outputs.
        crop_pct: Fraction of the resized side that the evaluation's crop keeps, in (0, 1].
        statistics: Whose channel means and deviations images are normalized by, a name in
            `STATISTICS`.
    """

    class_names: tuple[str, ...]
    crop_pct: float = DEFAULT_CROP_PCT
    statistics: str = "imagenet"


def write_metadata(path: Path, card: ModelMetadata) -> None:
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


def read_metadata(path: str | os.PathLike) -> ModelMetadata | None:
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


def _card(said: dict) -> ModelMetadata:
    names, crop_pct = said["class_names"], float(said["crop_pct"])
    if not _are_names(names) or not 0 < crop_pct <= 1 or said["statistics"] not in STATISTICS:
        raise ValueError(f"unknown {_KEY} in {_MEMBER}")
    return ModelMetadata(tuple(names), crop_pct, said["statistics"])


def _are_names(names: Sequence) -> bool:
    return isinstance(names, list) and all(isinstance(name, str) for name in names)


_GRID = "grid_size"
_GRID_PATTERN = re.compile("([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", re.ASCII)


def write_safetensors(
    state: Mapping[str, np.ndarray], path: Path, grid_size: tuple[int, int]
) -> None:
    """Writes official key -> array.

    Args:
        state: The arrays.
        path: The file.
        grid_size: (height, width) in tokens of the position table, which its shape does not say.

    Raises:
        OSError: The file cannot be written.
    """
    metadata = {"format": "pt", _GRID: "x".join(map(str, grid_size))}
    try:
        save_file(dict(state), path, metadata=metadata)
    except SafetensorError as error:
        raise OSError(f"{path}: cannot be written: {error}") from error


def read_safetensors(
    path: str | os.PathLike,
) -> tuple[dict[str, np.ndarray], tuple[int, int] | None]:
    """Reads a file of arrays under their keys.

    Returns:
        Key -> array, and (height, width) in tokens of the position table, where the file says it.

    Raises:
        CheckpointError: The file cannot be read, is damaged or holds a dtype NumPy has not.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            grid = _GRID_PATTERN.fullmatch((file.metadata() or {}).get(_GRID, ""))
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error}). Check the path and its permissions."
        ) from error
    except (SafetensorError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as a .safetensors file of float16, float32 or float64 arrays "
            f"({printable(str(error), limit=200)}). Write it again, or download it again."
        ) from error
    return state, grid and (int(grid[1]), int(grid[2]))
