"""Writing `.weights.h5` files that survive a full disk and a killed process."""

import io
from pathlib import Path

import keras

from t2t_keras.files import atomic_path


class _Hdf5Buffer(io.BytesIO):
    """Memory that `keras.Model.save_weights` takes for a file: of a path it asks only the end."""

    def __str__(self) -> str:
        return "memory.weights.h5"


def save_weights(model: keras.Model, path: Path) -> None:
    """Writes what `model.save_weights(path)` would; a file that was there stays until it is done.

    Keras overwrites in place, and where the disk is full in the middle of it the HDF5 library
    crashes the process at its end. So the file is made in memory, which must have room for it.

    Args:
        model: A built model.
        path: Ends in `.weights.h5`.

    Raises:
        ValueError: `path` ends otherwise, or the model is not built.
        OSError: The file cannot be written.
    """
    if not path.name.endswith(".weights.h5"):
        raise ValueError(f"`path` must end in `.weights.h5`. Received: path={path}")
    buffer = _Hdf5Buffer()
    model.save_weights(buffer)
    with atomic_path(path) as part:
        part.write_bytes(buffer.getbuffer())
