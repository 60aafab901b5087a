"""Keeping the converted form of a checkpoint, so that it is converted once.

A kept file is found by the digest of what it was made from and the version of the converter, and
is used only as long as it has the digest it was stored with: HDF5 has no checksums of its own, and
a flipped bit would load as another weight.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from t2t_keras.files import (
    atomic_path,
    digest_of,
    locked,
    record_digest,
    recorded_digest,
    remove_leftovers,
)
from t2t_keras.weights.cache_dir import storing_in, weights_dir

logger = logging.getLogger(__name__)

_KEY_DIGITS = 16


def cached_conversion(
    source: Path,
    name: str,
    build: Callable[[Path], None],
    converter_version: str,
    cache_dir: str | os.PathLike | None = None,
) -> Path:
    """Returns the converted form of a checkpoint, building it if the cache does not have it.

    Several processes may call this at once; one builds, the others wait for it.

    Args:
        source: The checkpoint that is converted.
        name: Begins the kept file's name, for people: "t2t_vit_14", say.
        build: Writes the converted weights to the path it is given, which ends in `.weights.h5`
            (with `hdf5.save_weights`). What it raises is passed on and leaves nothing behind.
        converter_version: Changed whenever the same checkpoint would be converted differently.
        cache_dir: Stands in for $KERAS_HOME or `~/.keras`.

    Raises:
        DownloadError: The cache folder cannot be written; what it held is as it was.
        OSError: `source` cannot be read.
    """
    key = f"{name}-{digest_of(source)[:_KEY_DIGITS]}-{converter_version}"
    target = weights_dir(cache_dir) / f"{key}.weights.h5"
    if _is_intact(target):
        return target
    with storing_in(target.parent), locked(target) as alone:
        if alone:
            remove_leftovers(target)
        if not _is_intact(target):
            if target.exists():
                logger.warning(
                    "Converting %s again: %s has not the digest kept with it.", source, target
                )
            with atomic_path(target) as part:
                build(part)
            record_digest(target)
    return target


def _is_intact(path: Path) -> bool:
    try:
        return path.is_file() and recorded_digest(path) == digest_of(path)
    except OSError:
        return False
