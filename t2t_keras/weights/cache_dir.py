"""The one folder that downloaded and converted weights are kept in."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from t2t_keras.errors import DownloadError


def weights_dir(cache_dir: str | os.PathLike | None = None) -> Path:
    """Returns `models/t2t_keras` in Keras' cache folder; creates nothing.

    Args:
        cache_dir: Stands in for Keras' own folder, which is $KERAS_HOME or else `~/.keras`.

    Raises:
        DownloadError: There is no home folder.
    """
    root = Path(cache_dir or os.environ.get("KERAS_HOME") or "~/.keras")
    try:
        return root.expanduser().absolute() / "models" / "t2t_keras"
    except RuntimeError as error:
        raise DownloadError(
            f"The weights cache {root} has no place: {error} Choose a folder with `cache_dir` or "
            "the environment variable KERAS_HOME."
        ) from error


@contextlib.contextmanager
def storing_in(folder: Path) -> Iterator[None]:
    """Creates `folder` and says what to do when that, or writing there, fails.

    Keras' own downloads move to a folder in /tmp that any user can write to; this never does.

    Raises:
        DownloadError: Any `OSError` of the block; a `DownloadError` passes as it is.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(
            f"Weights cannot be stored in {folder} ({error}). Make room there or make it writable, "
            "or choose another folder with `cache_dir` or the environment variable KERAS_HOME."
        ) from error
