"""A model as a backbone: the maps of its stages and blocks, for detection and segmentation."""

from collections.abc import Sequence

import keras

from t2t_keras.errors import check
from t2t_keras.layers import TokenMap
from t2t_keras.models.structure import NORM, Parts, parts_of


def _names(parts: Parts, blocks: Sequence[int | str] | None) -> list[str]:
    if blocks is None:
        return [*list(parts.stages)[:-1], NORM]
    listed = not isinstance(blocks, int | str) and bool(blocks)
    check(listed, "blocks", blocks, "a list of at least one name or number of a block")
    return [parts.name_of(block) for block in blocks]


def features(model: keras.Model, blocks: Sequence[int | str] | None = None) -> keras.Model:
    """Makes a model that gives feature maps in place of classes, for a head of one's own.

    It shares the weights of `model`, which is not changed; what no map needs is left out.

    Args:
        model: A model of this package, with or without its classifier, pretrained or not.
        blocks: The maps wanted, in that order: names of the stem's stages ("t2t_block_0",
            "t2t_block_1", "project"; "convolution_0" ... in `t2t_vit_c_14`), names or numbers of
            encoder blocks (-1 is the last), or "encoder_norm", the last block after its norm. None
            gives both inner stages and "encoder_norm": strides 4, 8 and 16 in the published
            variants.

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
    maps: dict[str, keras.KerasTensor] = {}
    for name in names:
        outputs = model.get_layer(name).output
        if name not in parts.stages and name not in maps:
            outputs = TokenMap(name=f"{name}_map")(outputs, parts.stem[-1].output)
        maps.setdefault(name, outputs)
    return keras.Model(model.input, [maps[name] for name in names], name=f"{model.name}_features")


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
