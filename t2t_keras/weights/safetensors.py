"""`.safetensors` files: the authors' keys and layout, in a format that holds arrays and no code."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from t2t_keras.errors import CheckpointError
from t2t_keras.weights.refusal import quoted


def write_safetensors(state: Mapping[str, np.ndarray], path: Path) -> None:
    """Writes official key -> array.

    Raises:
        OSError: The file cannot be written.
    """
    try:
        save_file(dict(state), path, metadata={"format": "pt"})
    except SafetensorError as error:
        raise OSError(f"{path}: cannot be written: {error}") from error


def read_safetensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads a file of arrays under their keys.

    Raises:
        CheckpointError: The file cannot be read, is damaged or holds a dtype NumPy has not.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error}). Check the path and its permissions."
        ) from error
    except (SafetensorError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: cannot be read as a .safetensors file of float16, float32 or float64 arrays "
            f"({quoted(str(error), limit=200)}). Write it again, or download it again."
        ) from error
