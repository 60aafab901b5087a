"""The files that weights are written to: `.weights.h5`, `.keras` with metadata, `.safetensors`."""

import dataclasses
import io
import json
import lzma
import os
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import keras
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from t2t_keras.errors import CheckpointError, check
from t2t_keras.files import atomic_path, require_regular
from t2t_keras.images.constants import (
    DEFAULT_CROP_PCT,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Color,
    check_colors,
)
from t2t_keras.weights.torch_reader import printable, read_whole

# The errors of h5py, zipfile and Keras about a damaged `.weights.h5` or `.keras` file.
FILE_ERRORS = (
    OSError,
    ValueError,
    ArithmeticError,
    LookupError,
    RuntimeError,
    TypeError,
    AttributeError,
    EOFError,
    MemoryError,
    ImportError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
_MEMBER = "t2t_keras.json"
_MAX_METADATA_BYTES = 16 * 2**20
_GRID = "grid_size"
_GRID_PATTERN = re.compile("([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", re.ASCII)


class Hdf5Buffer(io.BytesIO):
    """Memory that Keras takes for a file of weights: it checks a path's end alone."""

    def __str__(self) -> str:
        return "memory.weights.h5"


def save_weights(model: keras.Model, path: Path) -> None:
    """Does what `model.save_weights(path)` does; a file that was there stays until it is done.

    Keras overwrites in place, and where the disk is full in the middle of it the HDF5 library
    crashes the process at its end. So the file is made in memory, which must have room for it.
    """
    check(path.name.endswith(".weights.h5"), "path", path, "a file that ends in `.weights.h5`")
    buffer = Hdf5Buffer()
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
        require_regular(path)
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
    path.write_bytes(save(dict(state), metadata))


def parse_safetensors(content: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Returns the arrays and the metadata of a file read before.

    `safe_open` would map the file: where something shortens it meanwhile, the process dies.
    """
    arrays = load(content)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return arrays, header.get("__metadata__", {})


def read_safetensors(
    path: str | os.PathLike,
) -> tuple[dict[str, np.ndarray], tuple[int, int] | None]:
    """Returns key -> array, and the position table's (height, width) where the file tells it."""
    try:
        state, metadata = parse_safetensors(read_whole(path))
        grid = _GRID_PATTERN.fullmatch(metadata.get(_GRID, ""))
    except (SafetensorError, TypeError, LookupError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as a .safetensors file of float16, float32 or float64 arrays "
            f"({printable(str(error), limit=200)}). Write it again, or download it again."
        ) from error
    return state, grid and (int(grid[1]), int(grid[2]))
