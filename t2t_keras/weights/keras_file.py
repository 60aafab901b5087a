"""The arrays of a `.weights.h5` or `.keras` file, taken without trusting it."""

import dataclasses
import math
import os
import tempfile
import zipfile
from pathlib import Path

import h5py
import keras

from t2t_keras.errors import CheckpointError
from t2t_keras.models.structure import parts_of
from t2t_keras.variants import Variant
from t2t_keras.weights.assign import Report, load_state_dict
from t2t_keras.weights.convert import classifier
from t2t_keras.weights.mapping import official_state
from t2t_keras.weights.state_dict import state_dict_of
from t2t_keras.weights.torch_reader import printable

_TABLE, _HEAD = "layers/position_table/vars", "layers/dense/vars/0"
FILE_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    RuntimeError,
    IndexError,
    TypeError,
    AttributeError,
    EOFError,
    MemoryError,
    zipfile.BadZipFile,
)


def image_size(grid_size: tuple[int, int], variant: Variant) -> tuple[int, int]:
    """Height and width in pixels of an image that gives that grid of tokens."""
    strides = math.prod(split[1] for split in variant.soft_splits)
    return grid_size[0] * strides, grid_size[1] * strides


@dataclasses.dataclass(frozen=True)
class _FileSizes:
    """Of a Keras file: the number of classes, None without a head, and its grid of tokens."""

    classes: int | None
    grid_size: tuple[int, int]


def _sizes_in(file: h5py.File, model: keras.Model, path: Path) -> _FileSizes:
    """The two sizes that a file may have otherwise than the model, its arrays being whole."""
    arrays = {}

    def collect(name, item):
        if isinstance(item, h5py.Dataset):
            arrays[name] = item

    file.visititems(collect)
    # Keras writes arrays plainly: one that claims more than the file holds would fill the memory.
    claimed = sum((array.size or 0) * array.dtype.itemsize for array in arrays.values())
    if claimed > os.path.getsize(file.filename):
        raise CheckpointError(
            f"{path}: declares arrays larger than the file itself. It is damaged or made to fill "
            "the memory: write or download it again."
        )
    parts = parts_of(model)
    layer, width = parts.position_table, parts.norm.gamma.shape[0]
    table_shape = (1, None, layer.position_table.shape[-1])
    places = _shape_in(arrays, f"{_TABLE}/0", table_shape, path)[1] - 1
    classes = _shape_in(arrays, _HEAD, (width, None), path)[1] if _HEAD in arrays else None
    return _FileSizes(classes, _grid_in(arrays, places, layer.grid_size, path))


def _shape_in(arrays: dict, name: str, expected: tuple, path: Path) -> tuple[int, ...]:
    """The shape of an array of a file, `expected` but for any size from 1 up in place of None."""
    array = arrays.get(name)
    shape = () if array is None else array.shape or ()
    sizes_fit = len(shape) == len(expected) and all(
        size >= 1 and wanted in (None, size) for size, wanted in zip(shape, expected, strict=True)
    )
    if not sizes_fit or not (array.dtype.kind == "f" or array.attrs.get("dtype") == "bfloat16"):
        sizes = ", ".join("any" if wanted is None else str(wanted) for wanted in expected)
        found = "nothing" if array is None else f"{array.dtype} of shape {array.shape}"
        raise CheckpointError(
            f"{path}: has {found} in {name}, expected floating point numbers of shape ({sizes}). "
            "Give weights that a model of this variant wrote, or an official .pth file."
        )
    return shape


def _grid_in(arrays: dict, places: int, model_grid: tuple[int, int], path: Path) -> tuple[int, int]:
    """The grid that a file's position table is for: as it says, the model's, or a square."""
    saved = arrays.get(f"{_TABLE}/grid_size")
    if saved is not None and saved.shape == (2,):
        grid_size = tuple(int(side) for side in saved[()])
    elif places == math.prod(model_grid):
        grid_size = model_grid
    else:
        grid_size = (math.isqrt(places),) * 2
    if min(grid_size) < 1 or math.prod(grid_size) != places:
        raise CheckpointError(
            f"{path}: its position table has {places} places for a grid of {grid_size}. Give "
            "weights that a model of this package wrote, or an official .pth file."
        )
    return grid_size


def load_keras_file(model: keras.Model, path: Path, variant: Variant) -> Report:
    """Loads the arrays of a `.weights.h5` or `.keras` file; its architecture is never looked at.

    A failing `keras.Model.load_weights` leaves a model half loaded, so a twin of the file's own
    grid and classes takes the risk.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            weights = _arrays_of(path, Path(folder))
            with h5py.File(weights, "r") as file:
                sizes = _sizes_in(file, model, path)
            size = image_size(sizes.grid_size, variant)
            twin = classifier(variant, sizes.classes, size, "file")
            twin.load_weights(weights)
    except CheckpointError:
        raise
    except FILE_ERRORS as error:
        raise CheckpointError(
            f"{path}: cannot be loaded: it is damaged, or was written by a model of other sizes. "
            "Check the model's name, or write or download the file again. "
            f"({printable(str(error), limit=500)})"
        ) from error
    state = state_dict_of(official_state(twin), "", os.fspath(path))
    return load_state_dict(model, state, os.fspath(path), sizes.grid_size)


def _arrays_of(path: Path, folder: Path) -> Path:
    """The `.weights.h5` itself, or the one inside a `.keras` file, unpacked into `folder`."""
    if path.name.endswith(".weights.h5"):
        return path
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("model.weights.h5")
        if entry.compress_type != zipfile.ZIP_STORED:
            raise CheckpointError(
                f"{path}: its weights are compressed, which Keras never does, and could fill the "
                "disk. Write it again with Keras."
            )
        return Path(archive.extract(entry, folder))
