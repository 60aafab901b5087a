"""What `weights=` accepts, and its way into a model: "imagenet", or a file of one of four kinds."""

import logging
import os
import tempfile
from pathlib import Path

import keras

from t2t_keras.errors import CheckpointError, DownloadError
from t2t_keras.files import digest_record
from t2t_keras.variants import VARIANTS, Variant
from t2t_keras.weights.assign import Report, position_grid
from t2t_keras.weights.convert import (
    CONVERTER_VERSION,
    convert,
    load_official_checkpoint,
    load_or_advise,
)
from t2t_keras.weights.download import cached_conversion, fetch_release
from t2t_keras.weights.formats import read_safetensors
from t2t_keras.weights.keras_file import image_size, load_keras_file
from t2t_keras.weights.releases import RELEASES_URL, Release, imagenet_release
from t2t_keras.weights.state_dict import state_dict_of

logger = logging.getLogger(__name__)

OFFICIAL_SUFFIXES = (".pth", ".pth.tar", ".pt")
_KERAS_SUFFIXES = (".weights.h5", ".keras")
_SUFFIXES = (*_KERAS_SUFFIXES, ".safetensors", *OFFICIAL_SUFFIXES)


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
    path = os.fspath(weights) if isinstance(weights, str | os.PathLike) else ""
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
        return _load_released(model, variant, variant_name)
    path = os.fspath(weights)
    if path.endswith(OFFICIAL_SUFFIXES):
        return load_official_checkpoint(model, path)
    if path.endswith(".safetensors"):
        arrays, grid_size = read_safetensors(path)
        return load_or_advise(model, state_dict_of(arrays, "", path), path, grid_size)
    return load_keras_file(model, Path(path), variant)


def _load_released(model: keras.Model, variant: Variant, variant_name: str) -> Report:
    """Loads the release for the model's image size, fetched, converted and kept."""
    release = imagenet_release(variant_name, image_size(position_grid(model), variant))
    source = fetch_release(release)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return load_keras_file(model, _converted(release, source, Path(folder)), variant)
    except CheckpointError as error:
        raise DownloadError(
            f"{source}: is not the {release.variant} for {release.image_size} pixels and "
            f"{release.classes} classes that {RELEASES_URL}{release.filename} should be. Delete it "
            f"and {digest_record(source)}, and it is fetched again."
        ) from error


def _converted(release: Release, source: Path, folder: Path) -> Path:
    """The release as `.weights.h5`: kept in the cache, or in `folder` where that is read-only."""

    def build(target: Path) -> None:
        identity = convert(source, target, model_name=release.variant).identity
        if (identity.image_size, identity.classes) != (release.image_size, release.classes):
            raise CheckpointError(
                f"{source}: is for {identity.image_size} pixels and {identity.classes} classes."
            )

    name = f"{release.variant}_imagenet_{release.image_size}"
    try:
        return cached_conversion(source, name, build, CONVERTER_VERSION)
    except DownloadError as error:
        logger.warning("The converted weights are not kept: %s", error)
    build(folder / "released.weights.h5")
    return folder / "released.weights.h5"
