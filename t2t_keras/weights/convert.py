"""From an official checkpoint into a Keras model, or into a file of one."""

import dataclasses
import logging
import os
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from t2t_keras.errors import CheckpointError, check
from t2t_keras.files import atomic_path
from t2t_keras.models import build_model
from t2t_keras.variants import VARIANTS, Variant
from t2t_keras.weights.assign import Report, load_state_dict, position_grid
from t2t_keras.weights.formats import ModelMetadata, save_weights, write_metadata, write_safetensors
from t2t_keras.weights.identify import Identity, identify
from t2t_keras.weights.mapping import official_state
from t2t_keras.weights.state_dict import state_dict_of
from t2t_keras.weights.torch_reader import read_torch_checkpoint

logger = logging.getLogger(__name__)

TARGET_SUFFIXES = (".weights.h5", ".keras", ".safetensors")


def classifier(
    variant: Variant,
    classes: int | None,
    image_size: tuple[int, int],
    name: str,
    channels: int = 3,
) -> keras.Model:
    """Builds a model for images of (height, width): logits, or the class token if no classes."""
    images = keras.Input((*image_size, channels), name="image")
    return build_model(
        variant,
        images,
        include_top=classes is not None,
        pooling="token",
        classes=classes,
        name=name,
    )


def load_official_checkpoint(
    model: keras.Model, path: str | os.PathLike, key: str = "auto"
) -> Report:
    """Loads a checkpoint of the authors' PyTorch code into a model; needs no PyTorch.

    Args:
        model: A model of the checkpoint's sizes. Its image size and classes may differ: the
            position table is resized, and a head for other classes keeps its values.
        path: A `.pth`, `.pth.tar` or `.ckpt` file, as the authors' scripts, timm, Lightning or
            others write it.
        key: The state dict, where a file holds several: the name of the dict or prefix before its
            keys, such as "state_dict_ema" or "state_dict.student"; "" is the file itself. "auto"
            takes the only one, or the averaged weights of a model ("ema") rather than the raw
            ones, or the first of `state_dict`, `net` and the file itself.

    Returns:
        The way of every key into the model; `print(report)` shows a table.

    Raises:
        CheckpointError: The file is damaged, unsafe, or does not fit the model, which is then
            unchanged.

    Reference: official `utils.load_for_transfer_learning`.
    """
    state = state_dict_of(read_torch_checkpoint(path), key, os.fspath(path))
    return load_state_dict(model, state, os.fspath(path))


def target_suffix(target: str | os.PathLike) -> str:
    """Returns the kind of file a name asks for, or raises a ValueError if it cannot be written."""
    suffixes = [suffix for suffix in TARGET_SUFFIXES if os.fspath(target).endswith(suffix)]
    check(bool(suffixes), "target", target, f"a file that ends in {', '.join(TARGET_SUFFIXES)}")
    return suffixes[0]


def write_model(
    model: keras.Model, target: str | os.PathLike, metadata: ModelMetadata | None = None
) -> None:
    """Writes a model (`.keras`) or its weights (`.weights.h5`, `.safetensors`), whole or not."""
    suffix = target_suffix(target)
    if suffix == ".weights.h5":
        save_weights(model, Path(target))
        return
    with atomic_path(Path(target)) as part:
        if suffix == ".keras":
            model.save(part)
            if metadata is not None:
                write_metadata(part, metadata)
        else:
            write_safetensors(official_state(model), part, position_grid(model))


@dataclasses.dataclass(frozen=True)
class Conversion:
    """The results of `convert`.

    Args:
        model: The model, with the checkpoint's weights.
        identity: The sizes of the checkpoint's model.
        report: The way of every key into the model.
    """

    model: keras.Model
    identity: Identity
    report: Report


def model_of(
    state: Mapping[str, np.ndarray],
    source: str,
    num_heads: int | None = None,
    model_name: str | None = None,
) -> Conversion:
    """Builds the model of a state dict, which must be a given, published `model_name`."""
    identity = identify(state, num_heads, source)
    if model_name not in (None, identity.name):
        raise CheckpointError(
            f"{source}: is not of {model_name}; its sizes are those of "
            f"{identity.name or 'no published variant'}. Leave `model_name` out to take those."
        )
    name = identity.name or "t2t_vit"
    try:
        model = classifier(identity.variant, identity.classes, (identity.image_size,) * 2, name)
    except ValueError as error:
        raise CheckpointError(f"{source}: there is no model of its sizes: {error}") from error
    report = load_state_dict(model, state, source)
    if report.fresh:
        raise CheckpointError(
            f"{source}: has nothing for {', '.join(report.fresh)}, so nothing was written. Give "
            "the checkpoint of a whole model."
        )
    return Conversion(model, identity, report)


def convert(
    source: str | os.PathLike,
    target: str | os.PathLike,
    *,
    model_name: str | None = None,
    num_heads: int | None = None,
    key: str = "auto",
    sha256: str | None = None,
) -> Conversion:
    """Converts an official checkpoint to a file that Keras reads.

    Args:
        source: The `.pth`, `.pth.tar` or `.ckpt` file.
        target: A `.weights.h5`, `.keras` or `.safetensors` file; written whole or not at all.
        model_name: A published variant, where the shapes alone would say another.
        num_heads: Attention heads, for sizes nobody published.
        key: The state dict to convert; see `load_official_checkpoint`.
        sha256: The file's digest, where it is known; checked before anything is read.

    Returns:
        The model, its sizes and the report of every key.

    Raises:
        CheckpointError: The file is damaged, unsafe, or of no T2T-ViT.
        ValueError: `target` has another ending, or `model_name` is not published.
    """
    target_suffix(target)
    published = model_name is None or model_name in VARIANTS
    check(published, "model_name", model_name, f"one of {', '.join(VARIANTS)}")
    if model_name is not None:
        num_heads = VARIANTS[model_name].num_heads
    state = state_dict_of(read_torch_checkpoint(source, sha256), key, os.fspath(source))
    conversion = model_of(state, os.fspath(source), num_heads, model_name)
    write_model(conversion.model, target)
    logger.info("%s: wrote %s", source, target)
    return conversion
