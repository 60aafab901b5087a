"""The anatomy of a model: the names of its parts, and where each part lies in the graph.

Names are written down here (those of the encoder's blocks in `layers/`, which makes them) and
nowhere else: they are keys of weight files.
"""

import dataclasses
import re
from typing import Any

import keras

from t2t_keras.errors import check
from t2t_keras.layers import ClassToken, PositionTable, T2TBlock, TokenPooling, Transition
from t2t_keras.layers.encoder import BlockLayer, Encoder

T2T_BLOCKS = ("t2t_block_0", "t2t_block_1")
CONVOLUTIONS = ("convolution_0", "convolution_1")
PROJECT = "project"
CLASS_TOKEN = "class_token"
POSITION_TABLE = "position_table"
ENCODER = "encoder"
NORM = f"{ENCODER}_norm"
POOLING = "pooling"
HEAD = "head"
PADDING = "_padding"  # ends the name of the layer that pads a convolution's map

_NUMBER = re.compile(r"(?:encoder_block|dense_growth_block|transition)_(\d+)(?:/|$)")


def block_number(path: str) -> int | None:
    """The number of the encoder block that a variable's path begins with; None elsewhere."""
    match = _NUMBER.match(path)
    return int(match[1]) if match else None


def t2t_block_number(path: str) -> int | None:
    """The number of the T2T block that a variable's path begins with; None elsewhere."""
    name = path.partition("/")[0]
    return T2T_BLOCKS.index(name) if name in T2T_BLOCKS else None


@dataclasses.dataclass(frozen=True)
class Grid:
    """The places of a map's cells on the image, in pixels."""

    stride: int  # distance between the centers of two neighbors
    first: float  # center of the first cell; pixel 0 has its center at 0

    def split(self, kernel_size: int, strides: int, padding: int) -> "Grid":
        """The grid after windows of that size were taken of this one's cells."""
        first = self.first + self.stride * ((kernel_size - 1) / 2 - padding)
        return Grid(self.stride * strides, first)


@dataclasses.dataclass(frozen=True, eq=False)
class Parts:
    """The layers of a model of this package, in the order an image goes through them."""

    model: keras.Model
    stem: tuple[keras.layers.Layer, ...]  # from images to the encoder's map
    stages: dict[str, int]  # name -> index in `stem` of the layer that a stage ends with
    position_table: keras.layers.Layer
    blocks: tuple[keras.layers.Layer, ...]  # a dense encoder's transitions count as blocks
    norm: keras.layers.Layer  # after the last block
    pooling: Any  # with the next one the classifier; None in a model without it
    head: Any

    def block_names(self) -> list[str]:
        """Names of the encoder's blocks."""
        return [block.name for block in self.blocks]

    def name_of(self, block: int | str) -> str:
        """The name of a stage, block or norm given by name, or of a block by number (-1: last)."""
        names = self.block_names()
        if isinstance(block, int) and -len(names) <= block < len(names):
            return names[block]
        if block in self.stages or block in names or block == NORM:
            return block
        raise ValueError(
            f"`block` must be one of {', '.join(self.stages)}, {names[0]} to {names[-1]}, {NORM}, "
            f"or a number from {-len(names)} to {len(names) - 1}. Received: block={block}"
        )

    def grid_of(self, name: str) -> Grid:
        """The places of the cells of a stage's map; those of every block are the last stage's."""
        grid, padding = Grid(1, 0.0), 0
        last = self.stages.get(name, len(self.stem) - 1)
        for layer in self.stem[: last + 1]:
            if isinstance(layer, keras.layers.ZeroPadding2D):
                padding = layer.padding[0][0]
            elif isinstance(layer, T2TBlock):
                grid = grid.split(layer.kernel_size, layer.strides, layer.padding)
            else:
                grid = grid.split(layer.kernel_size[0], layer.strides[0], padding)
        return grid


def parts_of(model: keras.Model) -> Parts:
    """Finds the parts of a model of this package, made by a model function or loaded."""
    layers = {layer.name: layer for layer in getattr(model, "layers", ())}
    blocks = tuple(
        layer
        for layer in layers.values()
        if isinstance(layer, BlockLayer | Transition) and not isinstance(layer, Encoder)
    )
    expected = {CLASS_TOKEN: ClassToken, POSITION_TABLE: PositionTable}
    found = all(isinstance(layers.get(name), kind) for name, kind in expected.items())
    if not (found and blocks and PROJECT in layers and NORM in layers):
        raise ValueError(
            "`model` must be a model of this package, such as `t2t_keras.T2TViT14()`, or one "
            f"loaded from its `.keras` file.{_hint(layers)} "
            f"Received: model={getattr(model, 'name', model)}"
        )
    stages = (*T2T_BLOCKS, *CONVOLUTIONS, PROJECT)
    names = [part for stage in stages for part in (stage + PADDING, stage) if part in layers]
    pooling, head = layers.get(POOLING), layers.get(HEAD)
    classifies = isinstance(pooling, TokenPooling) and isinstance(head, keras.layers.Dense)
    classifier = (pooling, head) if classifies else (None, None)
    return Parts(
        model,
        tuple(layers[name] for name in names),
        {name: index for index, name in enumerate(names) if name in stages},
        layers[POSITION_TABLE],
        blocks,
        layers[NORM],
        *classifier,
    )


def logits_of(parts: Parts) -> keras.KerasTensor:
    """The classifier's outputs before its activation: those of a copy of its last layer."""
    if parts.head.activation is keras.activations.linear:
        return parts.head.output
    head = type(parts.head).from_config({**parts.head.get_config(), "activation": None})
    logits = head(parts.pooling.output)
    head.set_weights(parts.head.get_weights())
    return logits


def _hint(layers: dict[str, keras.layers.Layer]) -> str:
    """A way out where a model is nearly one of this package."""
    if isinstance(layers.get(ENCODER), Encoder):
        return (
            " This one is of an early version, whose encoder is a single layer: build the model "
            "anew and call `new.set_weights(old.get_weights())`."
        )
    inner = [layer.name for layer in layers.values() if isinstance(layer, keras.Model)]
    return f' Give the model inside it: model.get_layer("{inner[0]}").' if inner else ""


def require_head(parts: Parts) -> None:
    """Raises a ValueError where a model has no classifier."""
    expected = "a model with its classifier, built with include_top=True"
    check(parts.head is not None, "model", parts.model.name, expected)
