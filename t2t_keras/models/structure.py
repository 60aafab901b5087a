"""The parts of a finished model, by the names that its graph gave them."""

import dataclasses

import keras

from t2t_keras.layers import ClassToken, PositionTable, T2TBlock, TokenPooling
from t2t_keras.layers.encoder import Encoder

LAST = "encoder"


@dataclasses.dataclass(frozen=True)
class Grid:
    """Where the cells of a map lie on the image, in pixels.

    Args:
        stride: Distance between the centers of two neighbors.
        first: Center of the first cell; pixel 0 has its center at 0.
    """

    stride: int
    first: float

    def split(self, kernel_size: int, strides: int, padding: int) -> "Grid":
        """The grid after windows of that size were taken of this one's cells."""
        first = self.first + self.stride * ((kernel_size - 1) / 2 - padding)
        return Grid(self.stride * strides, first)


@dataclasses.dataclass(frozen=True, eq=False)
class Parts:
    """What a model of this package is made of, in the order an image goes through it.

    Args:
        model: The model.
        stem: The layers from images to the encoder's map.
        stages: Name -> index in `stem` of the layer that a stage ends with.
        class_token, position_table: Make tokens of the map.
        encoder: The encoder; its `blocks` and `norm` follow.
        pooling, head: The classifier; None in a model without it.
    """

    model: keras.Model
    stem: tuple[keras.layers.Layer, ...]
    stages: dict[str, int]
    class_token: keras.layers.Layer
    position_table: keras.layers.Layer
    encoder: Encoder
    pooling: keras.layers.Layer | None
    head: keras.layers.Layer | None

    def block_names(self) -> list[str]:
        """Names of the encoder's blocks; a dense encoder's transitions count as blocks."""
        return [block.name for block in self.encoder.blocks]

    def name_of(self, block: int | str) -> str:
        """The name of a stage or block that was asked for by name or number.

        Args:
            block: A stage's or block's name, "encoder" (all blocks and the last norm), or the
                number of an encoder block, from the end where it is negative.

        Raises:
            ValueError: There is none.
        """
        names = self.block_names()
        if isinstance(block, int) and -len(names) <= block < len(names):
            return names[block]
        if block in self.stages or block in names or block == LAST:
            return block
        raise ValueError(
            f"`block` must be one of {', '.join(self.stages)}, {names[0]} to {names[-1]}, {LAST}, "
            f"or a number from {-len(names)} to {len(names) - 1}. Received: block={block}"
        )

    def grid_of(self, name: str) -> Grid:
        """Where the cells of a stage's map lie; those of every block are the last stage's."""
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


def _stem(layers: dict[str, keras.layers.Layer]) -> list[keras.layers.Layer]:
    """The stem's layers, as `build_stem` names them."""
    kinds = ("t2t_block_0", "t2t_block_1", "convolution_0", "convolution_1", "project")
    names = [part for name in kinds for part in (f"{name}_padding", name)]
    return [layers[name] for name in names if name in layers]


def parts_of(model: keras.Model) -> Parts:
    """Finds the parts of a model of this package; the model is not changed.

    Args:
        model: What a model function gave, or a `.keras` file of such a model.

    Raises:
        ValueError: It is another model.
    """
    layers = {layer.name: layer for layer in getattr(model, "layers", ())}
    expected = {"class_token": ClassToken, "position_table": PositionTable, "encoder": Encoder}
    found = all(isinstance(layers.get(name), kind) for name, kind in expected.items())
    if not found or "project" not in layers:
        inner = [layer.name for layer in layers.values() if isinstance(layer, keras.Model)]
        hint = f' Give the model inside it: model.get_layer("{inner[0]}").' if inner else ""
        raise ValueError(
            "`model` must be a model of this package, such as `t2t_keras.T2TViT14()`, or one "
            f"loaded from its `.keras` file.{hint} "
            f"Received: model={getattr(model, 'name', model)}"
        )
    stem = tuple(_stem(layers))
    stages = {
        layer.name: index
        for index, layer in enumerate(stem)
        if not isinstance(layer, keras.layers.ZeroPadding2D)
    }
    pooling, head = layers.get("pooling"), layers.get("head")
    classifies = isinstance(pooling, TokenPooling) and isinstance(head, keras.layers.Dense)
    return Parts(
        model,
        stem,
        stages,
        layers["class_token"],
        layers["position_table"],
        layers["encoder"],
        pooling if classifies else None,
        head if classifies else None,
    )


def require_head(parts: Parts) -> None:
    """Raises a ValueError where a model has no classifier."""
    if parts.head is None:
        raise ValueError(
            "`model` must have its classifier; build it with include_top=True. "
            f"Received: model={parts.model.name}"
        )
