"""What `weights=` accepts, and its way into a model: "imagenet", or a file of one of four kinds."""

import dataclasses
import logging
import math
import os
import tempfile
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np

from t2t_keras.errors import CheckpointError
from t2t_keras.variants import VARIANTS, Variant
from t2t_keras.weights.cache import cached_conversion
from t2t_keras.weights.catalogue import imagenet_release
from t2t_keras.weights.checkpoint import state_dict_of
from t2t_keras.weights.convert import (
    CONVERTER_VERSION,
    classifier,
    convert,
    load_official_checkpoint,
)
from t2t_keras.weights.download import fetch_release
from t2t_keras.weights.mapping import official_state
from t2t_keras.weights.safetensors import read_safetensors
from t2t_keras.weights.transfer import Report, load_state

logger = logging.getLogger(__name__)

_OFFICIAL_SUFFIXES = (".pth", ".pth.tar", ".pt")
_KERAS_SUFFIXES = (".weights.h5", ".keras")
_SUFFIXES = (*_KERAS_SUFFIXES, ".safetensors", *_OFFICIAL_SUFFIXES)
_HDF5_ERRORS = (OSError, ValueError, KeyError, RuntimeError, IndexError)


def check_weights(weights: str | os.PathLike | None, variant_name: str | None) -> None:
    """Raises a ValueError where `weights` is nothing that `load_weights` takes."""
    if weights is None:
        return
    if weights == "imagenet":
        if variant_name is None:
            raise ValueError(
                '`weights="imagenet"` needs a published variant; these sizes are none. Give '
                "`weights=None` or a file. Received: weights=imagenet"
            )
        imagenet_release(variant_name, (VARIANTS[variant_name].image_size,) * 2)
        return
    path = os.fspath(weights)
    if not path.endswith(_SUFFIXES) or not os.path.isfile(path):
        raise ValueError(
            "The `weights` argument should be either `None` (random weights), 'imagenet' (released "
            f"weights), or the path of an existing file that ends in {', '.join(_SUFFIXES)}. "
            f"Received: weights={weights}"
        )


def load_weights(
    model: keras.Model,
    weights: str | os.PathLike,
    variant: Variant,
    variant_name: str | None,
) -> Report:
    """Loads weights into a model of that variant, whole or not at all.

    Args:
        model: A model of this package.
        weights: "imagenet", or a `.weights.h5`, `.keras`, `.safetensors` or official `.pth` file.
        variant: The model's sizes.
        variant_name: Their published name, or None.

    Returns:
        What became of every key.

    Raises:
        CheckpointError: The file is damaged or does not fit.
        DownloadError: Released weights cannot be fetched or stored.
        ValueError: No weights were released for the variant.
    """
    if weights == "imagenet":
        return _load_keras_file(model, _released(model, variant_name), variant)
    path = os.fspath(weights)
    if path.endswith(_OFFICIAL_SUFFIXES):
        return load_official_checkpoint(model, path)
    if path.endswith(".safetensors"):
        return load_state(model, state_dict_of(read_safetensors(path), "", path), path)
    return _load_keras_file(model, Path(path), variant)


def _released(model: keras.Model, variant_name: str) -> Path:
    """The converted release for the model's picture size, fetched and kept."""
    release = imagenet_release(variant_name, model.input_shape[1:3])
    source = fetch_release(release)

    def build(target: Path) -> None:
        convert(source, target, model_name=variant_name)

    name = f"{variant_name}_imagenet_{release.image_size}"
    return cached_conversion(source, name, build, CONVERTER_VERSION)


@dataclasses.dataclass(frozen=True)
class _FileShapes:
    """Of a Keras file: the number of classes, None without a head, and of positions."""

    classes: int | None
    positions: int


def _shapes_in(file: h5py.File, size: int, path: Path) -> _FileShapes:
    arrays = {}

    def collect(name, item):
        if isinstance(item, h5py.Dataset):
            arrays[name] = item

    file.visititems(collect)
    # Keras writes arrays plainly: one that claims more than the file holds would fill the memory.
    if sum(array.nbytes for array in arrays.values()) > size:
        raise CheckpointError(
            f"{path}: declares arrays larger than the file itself. It is damaged or made to fill "
            "the memory: write or download it again."
        )
    table = arrays.get("layers/position_table/vars/0")
    if table is None or len(table.shape) != 3:
        raise CheckpointError(
            f"{path}: holds no position table. Give weights that a model of this package wrote, "
            "or an official .pth file."
        )
    head = arrays.get("layers/dense/vars/0")
    return _FileShapes(None if head is None else head.shape[-1], table.shape[1] - 1)


def _twin(model: keras.Model, shapes: _FileShapes, variant: Variant) -> keras.Model:
    """A model of the file's own grid and classes, so that the file fits it as it is."""
    grid_size = model.get_layer("position_table").grid_size
    strides = math.prod(split[1] for split in variant.soft_splits)
    if shapes.positions == math.prod(grid_size):
        height, width = (side * strides for side in grid_size)
    else:
        height = width = math.isqrt(shapes.positions) * strides
    return classifier(variant, shapes.classes, (height, width), "file")


def _load_keras_file(model: keras.Model, path: Path, variant: Variant) -> Report:
    """Loads the arrays of a `.weights.h5` or `.keras` file; its architecture is never looked at.

    A failing `keras.Model.load_weights` leaves a model half loaded, so a twin takes the risk.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            weights = _arrays_of(path, Path(folder))
            with h5py.File(weights, "r") as file:
                shapes = _shapes_in(file, weights.stat().st_size, path)
            twin = _twin(model, shapes, variant)
            twin.load_weights(weights)
    except CheckpointError:
        raise
    except (*_HDF5_ERRORS, zipfile.BadZipFile) as error:
        raise CheckpointError(
            f"{path}: cannot be loaded: it is damaged, or was written by a model of other sizes. "
            f"Check the model's name, or write or download the file again. ({error})"
        ) from error
    state = {key: np.asarray(array) for key, array in official_state(twin).items()}
    return load_state(model, state_dict_of(state, "", os.fspath(path)), os.fspath(path))


def _arrays_of(path: Path, folder: Path) -> Path:
    """The `.weights.h5` itself, or the one inside a `.keras` file, unpacked into `folder`."""
    if path.name.endswith(".weights.h5"):
        return path
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo("model.weights.h5").file_size > path.stat().st_size:
            raise CheckpointError(
                f"{path}: its weights unpack to more than the file itself, which Keras never "
                "writes. It is damaged or made to fill the disk: write or download it again."
            )
        return Path(archive.extract("model.weights.h5", folder))
