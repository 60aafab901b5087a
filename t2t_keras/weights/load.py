"""The values of `weights=` and their way into a model: "imagenet", or a file of one of four kinds.

A file is not trusted: of a Keras file the arrays are taken, never the architecture.
"""

import io
import itertools
import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import h5py
import keras

from t2t_keras.errors import CheckpointError, DownloadError, check
from t2t_keras.files import digest_record
from t2t_keras.models.structure import parts_of
from t2t_keras.variants import VARIANTS, Variant
from t2t_keras.weights.assign import Report, load_state_dict, position_grid
from t2t_keras.weights.convert import classifier, load_official_checkpoint
from t2t_keras.weights.download import fetch_release
from t2t_keras.weights.formats import FILE_ERRORS, Hdf5Buffer, read_safetensors
from t2t_keras.weights.identify import identify, shape_fits, sizes_of
from t2t_keras.weights.mapping import official_state
from t2t_keras.weights.releases import RELEASES_URL, imagenet_release
from t2t_keras.weights.state_dict import state_dict_of
from t2t_keras.weights.torch_reader import printable, read_torch_checkpoint, read_whole

OFFICIAL_SUFFIXES = (".pth", ".pth.tar", ".pt", ".ckpt")
_KERAS_SUFFIXES = (".weights.h5", ".keras")
_SUFFIXES = (*_KERAS_SUFFIXES, ".safetensors", *OFFICIAL_SUFFIXES)
_WRITE = "Give weights that Keras wrote."
_MAX_DEPTH, _MAX_ITEMS = 32, 100_000
_TABLE, _HEAD = "layers/position_table/vars", "layers/dense/vars/0"  # in a `.weights.h5`
_NORM, _CONVOLUTION = "layers/t2t_block/token_layer/norm1/vars/0", "layers/conv2d/vars/0"


def check_weights_key(weights: str | os.PathLike | None, weights_key: str) -> None:
    """Raises a ValueError where a key is given for weights that have none."""
    has_keys = str(weights).endswith((".safetensors", *OFFICIAL_SUFFIXES))
    expected = "left out unless `weights` are a checkpoint of PyTorch"
    check(has_keys or weights_key == "auto", "weights_key", weights_key, expected)


def check_weights(
    weights: str | os.PathLike | None, variant_name: str | None, weights_key: str = "auto"
) -> None:
    """Raises a ValueError where `weights` is nothing that `load_weights` takes."""
    check_weights_key(weights, weights_key)
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
    path = os.path.expanduser(weights) if isinstance(weights, str | os.PathLike) else ""
    if not path.endswith(_SUFFIXES) or not os.path.isfile(path):
        raise ValueError(
            "The `weights` argument should be either `None` (random weights), 'imagenet' (released "
            f"weights), or the path of an existing file that ends in {', '.join(_SUFFIXES)}. "
            f"Received: weights={weights}"
        )


def _smallest_image(grid_size: tuple[int, int], variant: Variant) -> tuple[int, int]:
    """Returns height and width in pixels of the smallest image that gives that grid of tokens."""
    height, width = grid_size
    for kernel_size, strides, padding in reversed(variant.soft_splits):
        height, width = (
            (side - 1) * strides + kernel_size - 2 * padding for side in (height, width)
        )
    return height, width


def weights_in(path: Path) -> bytes:
    """Returns the content of a `.weights.h5`, or of the one inside a `.keras` file."""
    content = read_whole(path)
    if path.name.endswith(".weights.h5"):
        return content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entry = archive.getinfo("model.weights.h5")
        if entry.compress_type != zipfile.ZIP_STORED:
            raise CheckpointError(
                f"{path}: its weights are compressed, which Keras never does, and could fill the "
                "disk. Write it again with Keras."
            )
        return archive.read(entry)


def _shape_in(
    arrays: Mapping[str, h5py.Dataset], name: str, expected: tuple[int | None, ...], path: Path
) -> tuple[int, ...]:
    """Returns the shape of a file's array, which must be `expected`; see `shape_fits`."""
    array = arrays.get(name)
    shape = () if array is None else array.shape or ()
    is_float = array is not None and (
        array.dtype.kind == "f" or array.attrs.get("dtype") == "bfloat16"
    )
    if not shape_fits(shape, expected) or not is_float:
        present = "nothing" if array is None else f"{array.dtype} of shape {array.shape}"
        raise CheckpointError(
            f"{path}: has {present} in {name}, expected floating point numbers of shape "
            f"({sizes_of(expected)}). Give weights that a model of this variant wrote, or an "
            "official .pth file."
        )
    return shape


def _items_in(
    group: h5py.Group, path: Path, prefix: str = ""
) -> Iterator[tuple[str, h5py.Group | h5py.Dataset]]:
    """Yields what a file holds itself; a link or an array kept elsewhere would read other files."""
    for name in group:
        item, place = None, prefix + name
        if isinstance(group.get(name, getlink=True), h5py.HardLink):
            item = group[name]
        elsewhere = isinstance(item, h5py.Dataset) and (item.is_virtual or item.external)
        if item is None or elsewhere or place.count("/") > _MAX_DEPTH:
            fault = (
                "lies deeper than Keras nests" if item and not elsewhere else "is kept elsewhere"
            )
            raise CheckpointError(f"{path}: {printable(place)} {fault}. {_WRITE}")
        yield place, item
        if isinstance(item, h5py.Group):
            yield from _items_in(item, path, f"{place}/")


def _sizes_in(
    file: h5py.File, size: int, model: keras.Model, variant: Variant, path: Path
) -> tuple[int | None, tuple[int, int], int]:
    """Returns what may differ between a file of `size` bytes and the model: classes, grid and
    image channels.
    """
    items = dict(itertools.islice(_items_in(file, path), _MAX_ITEMS + 1))
    if len(items) > _MAX_ITEMS:
        raise CheckpointError(f"{path}: holds more than {_MAX_ITEMS} groups and arrays. {_WRITE}")
    arrays = {name: item for name, item in items.items() if isinstance(item, h5py.Dataset)}
    # Keras writes arrays plainly: one that claims more than the file holds would fill the memory.
    claimed = sum((array.size or 0) * array.dtype.itemsize for array in arrays.values())
    if claimed > size:
        raise CheckpointError(
            f"{path}: declares arrays larger than the file itself. It is damaged or made to fill "
            "the memory: write or download it again."
        )
    parts = parts_of(model)
    table_shape = (1, None, parts.position_table.position_table.shape[-1])
    head_shape = (parts.norm.gamma.shape[0], None)
    positions = _shape_in(arrays, f"{_TABLE}/0", table_shape, path)[1] - 1
    classes = _shape_in(arrays, _HEAD, head_shape, path)[1] if _HEAD in arrays else None
    saved = arrays.get(f"{_TABLE}/grid_size")
    grid_size = (0, 0)
    if saved is not None and saved.shape == (2,):
        grid_size = (int(saved[0]), int(saved[1]))
    if min(grid_size) < 1 or math.prod(grid_size) != positions:
        raise CheckpointError(
            f"{path}: its position table has {positions} positions for a grid of {grid_size}. Give "
            "weights that a model of this package wrote, or an official .pth file."
        )
    side = variant.soft_splits[0][0]
    if variant.token_type == "convolution":
        channels = _shape_in(arrays, _CONVOLUTION, (side, side, None, None), path)[2]
    else:
        channels = _shape_in(arrays, _NORM, (None,), path)[0] // side**2
    return classes, grid_size, max(channels, 1)


def _load_keras_file(model: keras.Model, path: Path, variant: Variant) -> Report:
    """Loads the arrays of a `.weights.h5` or `.keras` file; its architecture is not read."""
    # A failing `load_weights` leaves a model half loaded, so a twin of the file's grid and classes
    # takes the risk.
    try:
        weights = Hdf5Buffer(weights_in(path))
        with h5py.File(weights, "r") as file:
            size = len(weights.getbuffer())
            classes, grid_size, channels = _sizes_in(file, size, model, variant, path)
        image_size = _smallest_image(grid_size, variant)
        twin = classifier(variant, classes, image_size, "file", channels)
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
    return load_state_dict(model, state, os.fspath(path), grid_size)


def _load_released(model: keras.Model, variant: Variant, variant_name: str) -> Report:
    """Loads the release for the model's image size, fetching it if it is not in the cache."""
    strides = math.prod(split[1] for split in variant.soft_splits)
    height, width = position_grid(model)
    release = imagenet_release(variant_name, (height * strides, width * strides))
    source = fetch_release(release)
    path = os.fspath(source)
    try:
        state = state_dict_of(read_torch_checkpoint(source), source=path)
        identity = identify(state, variant.num_heads, path)
        sizes = (identity.name, identity.image_size, identity.classes)
        if sizes != (release.variant, release.image_size, release.classes):
            raise CheckpointError(f"{path}: is of other sizes: {', '.join(map(str, sizes))}.")
        return load_state_dict(model, state, path)
    except CheckpointError as error:
        raise DownloadError(
            f"{source}: is not the {release.variant} for {release.image_size} pixels and "
            f"{release.classes} classes that {RELEASES_URL}{release.filename} should be. Delete it "
            f"and {digest_record(source)}, and it is fetched again."
        ) from error


def load_weights(
    model: keras.Model,
    weights: str | os.PathLike,
    variant: Variant,
    variant_name: str | None,
    weights_key: str = "auto",
) -> Report:
    """Loads weights into a model of a variant, whole or not at all."""
    if weights == "imagenet" and variant_name is not None:
        return _load_released(model, variant, variant_name)
    path = os.path.expanduser(weights)
    if path.endswith(OFFICIAL_SUFFIXES):
        return load_official_checkpoint(model, path, weights_key)
    if path.endswith(".safetensors"):
        arrays, grid_size = read_safetensors(path)
        return load_state_dict(model, state_dict_of(arrays, weights_key, path), path, grid_size)
    return _load_keras_file(model, Path(path), variant)
