"""The class token and the position table, which patch tokens get before the encoder."""

from typing import Any

import keras
import numpy as np
from keras import ops

from t2t_keras.errors import check
from t2t_keras.layers.primitives import Shape, Tensor, linear_kernel

_A = -0.75


def _cubic(distance: Tensor) -> Tensor:
    """Keys' cubic kernel at distances of 0 to 2."""
    near = ((_A + 2) * distance - (_A + 3)) * distance * distance + 1
    far = ((_A * distance - 5 * _A) * distance + 8 * _A) * distance - 4 * _A
    return ops.where(distance <= 1, near, far)


def interpolation_matrix(new_size: int | Tensor, old_size: int) -> Tensor:
    """(new_size, old_size) float32 weights: times a column of old values they resize it."""
    scale = old_size / ops.cast(new_size, "float32")
    centers = (ops.cast(ops.arange(new_size), "float32") + 0.5) * scale - 0.5
    centers = ops.expand_dims(centers, 1)  # LiteRT has no operator for `[:, None]`
    below = ops.floor(centers)
    taps = ops.convert_to_tensor([-1.0, 0.0, 1.0, 2.0], dtype="float32")
    weights = ops.expand_dims(_cubic(ops.abs(centers - below - taps)), -1)
    nearest = ops.cast(ops.clip(below + taps, 0, old_size - 1), "int32")
    return ops.sum(weights * ops.one_hot(nearest, old_size, dtype="float32"), axis=1)


def resize_grid(grid: Tensor, height: int | Tensor, width: int | Tensor) -> Tensor:
    """Resizes a (h, w, D) float32 grid of vectors to (height, width, D).

    Equals torch's `F.interpolate(mode="bicubic", align_corners=False)`; Keras' and TensorFlow's
    bicubic have a = -0.5.
    """
    old_height, old_width, dim = grid.shape
    rows = interpolation_matrix(height, old_height)
    columns = interpolation_matrix(width, old_width)
    grid = ops.matmul(rows, ops.reshape(grid, (old_height, old_width * dim)))
    return ops.matmul(columns, ops.reshape(grid, (height, old_width, dim)))


def sinusoid_table(positions: int, embed_dim: int) -> np.ndarray:
    """(1, positions, embed_dim) float32: sines on even, cosines on odd columns.

    Reference: arXiv:1706.03762, section 3.5; official `transformer_block.get_sinusoid_encoding`.
    """
    columns = np.arange(embed_dim)
    angles = np.arange(positions)[:, None] / np.power(10000, 2 * (columns // 2) / embed_dim)
    table = np.where(columns % 2 == 0, np.sin(angles), np.cos(angles))
    return table[None].astype(np.float32)


@keras.saving.register_keras_serializable(package="t2t_keras")
class ClassToken(keras.layers.Layer):
    """Lays a feature map out as tokens and puts one learned token before them.

    Call arguments:
        inputs: (B, h, w, D) feature map.

    Returns:
        (B, 1 + h * w, D) tokens, the class token first.

    Reference: arXiv:2101.11986, section 3.2; official `T2T_ViT.cls_token`.
    """

    def build(self, input_shape: Shape) -> None:
        self.class_token = self.add_weight(
            shape=(1, 1, input_shape[-1]), initializer=linear_kernel(), name="class_token"
        )

    def call(self, inputs: Tensor) -> Tensor:
        batch, height, width = ops.shape(inputs)[:3]
        tokens = ops.reshape(inputs, (-1, height * width, inputs.shape[-1]))
        class_tokens = ops.broadcast_to(self.class_token, (batch, 1, inputs.shape[-1]))
        return ops.concatenate([ops.cast(class_tokens, tokens.dtype), tokens], axis=1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, height, width, embed_dim = input_shape
        known = height is not None and width is not None
        return (batch, height * width + 1 if known else None, embed_dim)


@keras.saving.register_keras_serializable(package="t2t_keras")
class PositionTable(keras.layers.Layer):
    """Adds a fixed vector to every token by its place in the grid.

    Args:
        grid_size: (height, width) of the grid that the table is for, in tokens.

    Call arguments:
        tokens: (B, 1 + h * w, D), the class token first.
        feature_map: (B, h, w, ...) map the tokens came from; only its height and width are read.
            Where they are not `grid_size` the table is resized by the authors' rule, bicubically.

    Returns:
        (B, 1 + h * w, D) tokens.

    Raises:
        ValueError: `grid_size` is not two numbers of at least 1.

    Reference: official `T2T_ViT.pos_embed`, `utils.resize_pos_embed`.
    """

    def __init__(self, grid_size: tuple[int, int], **kwargs: Any):
        super().__init__(**kwargs)
        valid = len(grid_size) == 2 and min(grid_size) >= 1
        check(valid, "grid_size", grid_size, "(height, width), each at least 1")
        self.grid_size = tuple(grid_size)

    def build(self, tokens_shape: Shape, feature_map_shape: Shape) -> None:
        height, width = self.grid_size
        self.position_table = self.add_weight(
            shape=(1, 1 + height * width, tokens_shape[-1]),
            initializer=lambda shape, dtype=None: sinusoid_table(*shape[1:]),
            trainable=False,
            autocast=False,
            name="position_table",
        )

    def call(self, tokens: Tensor, feature_map: Tensor) -> Tensor:
        height, width = ops.shape(feature_map)[1:3]
        table = ops.convert_to_tensor(self.position_table)
        # The static shape: a size known only when the graph runs is no Python number to compare.
        if tuple(feature_map.shape[1:3]) != self.grid_size:
            grid = ops.reshape(table[0, 1:], (*self.grid_size, tokens.shape[-1]))
            grid = resize_grid(grid, height, width)
            grid = ops.reshape(grid, (1, height * width, tokens.shape[-1]))
            table = ops.concatenate([table[:, :1], grid], axis=1)
        return tokens + ops.cast(table, tokens.dtype)

    def compute_output_shape(self, tokens_shape: Shape, feature_map_shape: Shape) -> Shape:
        return tokens_shape

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        store["grid_size"] = np.array(self.grid_size)

    def load_own_variables(self, store: Any) -> None:
        """Raises a ValueError for a table of another grid, which may have as many places."""
        saved = {key: store[key] for key in store.keys()}  # noqa: SIM118 - not every store iterates
        grid_size = saved.pop("grid_size", None)
        if grid_size is not None and tuple(grid_size) != self.grid_size:
            raise ValueError(
                f"Layer '{self.name}' has a table for a grid of {self.grid_size} tokens; the "
                f"saved one is for {tuple(map(int, grid_size))}. Build the model for images of "
                "the same size, or give the file as `weights=`, which resizes the table."
            )
        super().load_own_variables(saved)

    def get_config(self) -> dict:
        return {**super().get_config(), "grid_size": self.grid_size}
