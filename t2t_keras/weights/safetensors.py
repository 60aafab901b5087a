"""`.safetensors` files: the authors' keys and layout, in a format that holds arrays and no code."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from t2t_keras.errors import CheckpointError
from t2t_keras.weights.refusal import quoted

_GRID = "grid_size"
_GRID_PATTERN = re.compile("([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", re.ASCII)


def write_safetensors(
    state: Mapping[str, np.ndarray], path: Path, grid_size: tuple[int, int]
) -> None:
    """Writes official key -> array.

    Args:
        state: The arrays.
        path: The file.
        grid_size: (height, width) in tokens of the position table, which its shape does not say.

    Raises:
        OSError: The file cannot be written.
    """
    metadata = {"format": "pt", _GRID: "x".join(map(str, grid_size))}
    try:
        save_file(dict(state), path, metadata=metadata)
    except SafetensorError as error:
        raise OSError(f"{path}: cannot be written: {error}") from error


def read_safetensors(
    path: str | os.PathLike,
) -> tuple[dict[str, np.ndarray], tuple[int, int] | None]:
    """Reads a file of arrays under their keys.

    Returns:
        Key -> array, and (height, width) in tokens of the position table, where the file says it.

    Raises:
        CheckpointError: The file cannot be read, is damaged or holds a dtype NumPy has not.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            grid = _GRID_PATTERN.fullmatch((file.metadata() or {}).get(_GRID, ""))
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error}). Check the path and its permissions."
        ) from error
    except (SafetensorError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as a .safetensors file of float16, float32 or float64 arrays "
            f"({quoted(str(error), limit=200)}). Write it again, or download it again."
        ) from error
    return state, grid and (int(grid[1]), int(grid[2]))
