"""The files that weights are written to: `.weights.h5`, `.keras` with metadata, `.safetensors`."""

import dataclasses
import io
import json
import os
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import keras
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from t2t_keras.errors import CheckpointError, check
from t2t_keras.files import atomic_path
from t2t_keras.images.constants import (
    DEFAULT_CROP_PCT,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Color,
    check_colors,
)
from t2t_keras.weights.torch_reader import printable

# The errors of h5py, zipfile and Keras about a damaged `.weights.h5` or `.keras` file.
FILE_ERRORS = (
    OSError,
    ValueError,
    LookupError,
    RuntimeError,
    TypeError,
    AttributeError,
    EOFError,
    MemoryError,
    ImportError,
    zipfile.BadZipFile,
    zlib.error,
)
_MEMBER = "t2t_keras.json"
_MAX_METADATA_BYTES = 16 * 2**20
_GRID = "grid_size"
_GRID_PATTERN = re.compile("([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", re.ASCII)


class _Hdf5Buffer(io.BytesIO):
    """Memory that `keras.Model.save_weights` accepts as a file: it checks a path's end alone."""

    def __str__(self) -> str:
        return "memory.weights.h5"


def save_weights(model: keras.Model, path: Path) -> None:
    """Does what `model.save_weights(path)` does; a file that was there stays until it is done.

    Keras overwrites in place, and where the disk is full in the middle of it the HDF5 library
    crashes the process at its end. So the file is made in memory, which must have room for it.
    """
    check(path.name.endswith(".weights.h5"), "path", path, "a file that ends in `.weights.h5`")
    buffer = _Hdf5Buffer()
    model.save_weights(buffer)
    with atomic_path(path) as part:
        part.write_bytes(buffer.getbuffer())


@dataclasses.dataclass(frozen=True)
class ModelMetadata:
    """The facts that are needed to use a classifier."""

    class_names: tuple[str, ...]  # in the order of its outputs
    crop_pct: float = DEFAULT_CROP_PCT  # fraction of the resized side that evaluation keeps
    mean: Color = IMAGENET_MEAN  # of each channel in 0..1
    std: Color = IMAGENET_STD


def write_metadata(path: Path, metadata: ModelMetadata) -> None:
    """Adds metadata to a `.keras` file, whose other members Keras looks up by name."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(_MEMBER, json.dumps(dataclasses.asdict(metadata)))


def read_metadata(path: str | os.PathLike) -> ModelMetadata | None:
    """Returns the metadata of a `.keras` file; None where it has none."""
    try:
        with zipfile.ZipFile(path) as archive:
            if _MEMBER not in archive.namelist():
                return None
            size = archive.getinfo(_MEMBER).file_size
            if size > _MAX_METADATA_BYTES:
                raise ValueError(f"{_MEMBER} has {size} bytes")
            contents = json.loads(archive.read(_MEMBER))
        names, crop_pct = contents["class_names"], float(contents["crop_pct"])
        are_names = isinstance(names, list) and all(isinstance(name, str) for name in names)
        if not are_names or not 0 < crop_pct <= 1:
            raise ValueError(f"unknown settings in {_MEMBER}")
        mean, std = (tuple(map(float, contents[name])) for name in ("mean", "std"))
        check_colors(mean, std)
        return ModelMetadata(tuple(names), crop_pct, cast(Color, mean), cast(Color, std))
    except FILE_ERRORS as error:
        raise CheckpointError(
            f"{path}: cannot be read, or its metadata makes no sense ({error}). Write or download "
            "it again."
        ) from error


def write_safetensors(
    state: Mapping[str, np.ndarray], path: Path, grid_size: tuple[int, int]
) -> None:
    """Writes arrays under the authors' keys; their shapes do not tell the position table's grid."""
    metadata = {"format": "pt", _GRID: "x".join(map(str, grid_size))}
    try:
        save_file(dict(state), path, metadata=metadata)
    except SafetensorError as error:
        raise OSError(f"{path}: cannot be written: {error}") from error


def read_safetensors(
    path: str | os.PathLike,
) -> tuple[dict[str, np.ndarray], tuple[int, int] | None]:
    """Returns key -> array, and the position table's (height, width) where the file tells it."""
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
