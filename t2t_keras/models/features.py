"""A model as a backbone: the maps of its stages and blocks, for detection and segmentation."""

from collections.abc import Sequence

import keras

from t2t_keras.layers import TokenMap
from t2t_keras.models.structure import LAST, Parts, parts_of


def _pyramid(parts: Parts) -> list[str]:
    return [*list(parts.stages)[:-1], LAST]


def _names(parts: Parts, blocks: Sequence[int | str] | None) -> list[str]:
    """The names of what was asked for.

    Raises:
        ValueError: It is nothing, or no list of blocks.
    """
    if blocks is None:
        return _pyramid(parts)
    if isinstance(blocks, int | str) or not blocks:
        raise ValueError(
            "`blocks` must be a list of at least one name or number of a block. "
            f"Received: blocks={blocks!r}"
        )
    return [parts.name_of(block) for block in blocks]


def features(model: keras.Model, blocks: Sequence[int | str] | None = None) -> keras.Model:
    """A model that gives feature maps in place of classes, for a head of one's own.

    It shares the weights of `model`, which is not changed; what no map needs is left out.

    Args:
        model: A model of this package, with or without its classifier, pretrained or not.
        blocks: What to give, in that order: names of the stem's stages ("t2t_block_0",
            "t2t_block_1", "project"; "convolution_0" ... in `t2t_vit_c_14`), names or numbers of
            encoder blocks (-1 is the last), or "encoder", the last block behind its norm. None
            gives both inner stages and "encoder": strides 4, 8 and 16 in the published variants.

    Returns:
        A `keras.Model` from the same images to a list of (B, h, w, C) maps, or to the map alone
        where `blocks` has one. The tokens of an encoder block are laid out as the map they came
        from, without the class token.
        `feature_strides` says how many pixels there are to a cell.

    Raises:
        ValueError: A block is unknown, or the model is not of this package.
    """
    parts = parts_of(model)
    names = _names(parts, blocks)
    maps = {name: parts.stem[index].output for name, index in parts.stages.items()}
    inside = [name for name in names if name not in maps]
    if inside:
        maps.update(_encoder_maps(parts, inside))
    outputs = [maps[name] for name in names]
    return keras.Model(model.input, outputs, name=f"{model.name}_features")


def _encoder_maps(parts: Parts, names: list[str]) -> dict:
    """The maps of the encoder's blocks, computed as far as the last that is asked for."""
    tokens, feature_map = parts.encoder.input, parts.stem[-1].output
    found = {}
    for block in parts.encoder.blocks:
        tokens = block(tokens)
        if block.name in names:
            found[block.name] = TokenMap(name=f"{block.name}_map")(tokens, feature_map)
        if len(found) == len(set(names)):
            return found
    found[LAST] = TokenMap(name=f"{LAST}_map")(parts.encoder.norm(tokens), feature_map)
    return found


def feature_strides(
    model: keras.Model, blocks: Sequence[int | str] | None = None
) -> tuple[int, ...]:
    """Pixels of the image to a cell of each map that `features` gives.

    Args:
        model: A model of this package.
        blocks: As in `features`.

    Raises:
        ValueError: A block is unknown, or the model is not of this package.
    """
    parts = parts_of(model)
    return tuple(parts.grid_of(name).stride for name in _names(parts, blocks))
