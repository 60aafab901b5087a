"""The position table of a checkpoint, resized to the grid of another picture size."""

import math

import keras
import numpy as np

from t2t_keras.layers.bicubic import resize_grid


def resize_position_table(
    table: np.ndarray, grid_size: tuple[int, int], old_grid_size: tuple[int, int] | None = None
) -> np.ndarray:
    """Resizes the grid part of a position table and keeps the class token's row.

    Args:
        table: (1, 1 + h * w, D) float32.
        grid_size: (height, width) wanted, in tokens.
        old_grid_size: (h, w) of the table; None takes a square.

    Returns:
        (1, 1 + height * width, D) float32.

    Raises:
        ValueError: The table is not of `old_grid_size`, or of no square grid where it is None.

    Reference: official `utils.resize_pos_embed` (bicubic, a = -0.75, no antialias).
    """
    positions = table.shape[1] - 1
    if old_grid_size is None:
        old_grid_size = (math.isqrt(positions),) * 2
    if math.prod(old_grid_size) != positions:
        raise ValueError(
            f"`old_grid_size` must be given where a table is of no square grid, and have as many "
            f"places. Received: {positions} places, old_grid_size={old_grid_size}"
        )
    if tuple(grid_size) == tuple(old_grid_size):
        return table
    grid = keras.ops.convert_to_tensor(table[0, 1:].reshape(*old_grid_size, -1), "float32")
    resized = keras.ops.convert_to_numpy(resize_grid(grid, *grid_size))
    return np.concatenate([table[:, :1], resized.reshape(1, -1, table.shape[-1])], axis=1)
