"""Keeping the converted form of a checkpoint, so that it is converted once.

A kept file is found by the digest of what it was made from and the version of the converter, and
is used only as long as it has the digest it was stored with: HDF5 has no checksums of its own, and
a flipped bit would load as another weight.
"""

import contextlib
import io
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from t2t_keras.errors import DownloadError
from t2t_keras.files import (
    atomic_path,
    digest_of,
    digest_record,
    locked,
    record_digest,
    recorded_digest,
    remove_leftovers,
)
from t2t_keras.weights.releases import RELEASES_URL, Release
from t2t_keras.weights.torch_reader.reader import container_defect


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


if TYPE_CHECKING:  # pooch and requests are imported where a download begins: most runs have none
    import requests

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 18
_MOST_BYTES = 1 << 30  # four times the weights of the largest variant


class _LimitedFile(io.BufferedWriter):
    """A file being downloaded, into which an endless answer cannot pour all of the disk.

    Args:
        path: The file to write.
        most_bytes: What it may have at most; `write` raises a ValueError where more comes.
    """

    def __init__(self, path: Path, most_bytes: int):
        super().__init__(io.FileIO(path, "w"))
        self._most_bytes = most_bytes

    def write(self, data) -> int:
        if self.tell() + len(data) > self._most_bytes:
            raise ValueError(f"more than the expected {self._most_bytes:,} bytes came")
        return super().write(data)


def fetch_release(
    release: Release,
    cache_dir: str | os.PathLike | None = None,
    base_url: str = RELEASES_URL,
    *,
    timeout: float = 30.0,
    progress: bool = True,
) -> Path:
    """Returns the path of a released file, downloading it if the cache does not have it.

    A good file in the cache is used without any network call; so is one placed there by hand. A
    damaged or exchanged one is refused and fetched again. Several processes may call this at once.

    Args:
        release: A row of the catalog.
        cache_dir: Stands in for $KERAS_HOME or `~/.keras`; the file goes to `models/t2t_keras`
            below it.
        base_url: Where the release's files are, ending in a slash; a mirror's address, for one.
        timeout: Seconds without any data after which the server is given up.
        progress: Whether to draw a progress bar on stderr.

    Raises:
        DownloadError: The file cannot be had or stored. The message holds the address and the path
            at which the file may be placed by hand.
    """
    target = weights_dir(cache_dir) / release.filename
    if _cached_defect(release, target) is None:
        return target
    with storing_in(target.parent), locked(target) as alone:
        if alone:
            remove_leftovers(target)
        # Another process may have finished it since the first look.
        defect = _cached_defect(release, target)
        if defect is not None:
            _replace(release, target, base_url + release.filename, timeout, progress, defect)
    return target


def _cached_defect(release: Release, target: Path) -> str | None:
    """Returns why the file in the cache will not do, or None; remembers one seen first."""
    try:
        if not target.is_file():
            return "it is not there"
        defect = _defect(release, target, recorded_digest(target))
    except OSError as error:
        return f"it cannot be read ({error})"
    if defect is None:
        _remember(release, target)
    return defect


def _defect(release: Release, path: Path, recorded: str | None) -> str | None:
    size = path.stat().st_size
    if release.size is not None and size != release.size:
        return f"it has {size:,} bytes, expected {release.size:,}"
    if release.sha384 is not None:
        return _digest_defect(path, "sha384", release.sha384)
    if recorded is not None:
        return _digest_defect(path, "sha256", recorded)
    return container_defect(path)


def _digest_defect(path: Path, algorithm: str, expected: str) -> str | None:
    got = digest_of(path, algorithm)
    return None if got == expected else f"its {algorithm} is {got}, expected {expected}"


def _remember(release: Release, target: Path) -> None:
    if release.sha384 is not None or recorded_digest(target) is not None:
        return
    try:
        record_digest(target)
    except OSError as error:  # a shared cache may be read-only
        logger.info("The digest of %s is not kept: %s", target, error)


def _replace(
    release: Release, target: Path, url: str, timeout: float, progress: bool, defect: str
) -> None:
    """Puts a freshly downloaded file at `target`, where what is there has `defect`."""
    import requests

    recorded = recorded_digest(target)
    by_hand = f"Try again later, or download {url} yourself and place it at {target}"
    if recorded is not None:
        by_hand += f" (and delete {digest_record(target)})"
    if os.path.lexists(target):
        logger.warning("Fetching %s again; the file there is refused: %s.", target, defect)
        by_hand += f"; the file there now is refused: {defect}"
    with atomic_path(target) as part:
        try:
            most_bytes = release.size or _MOST_BYTES
            with _LimitedFile(part, most_bytes) as file:
                answer = _download(url, file, timeout, progress)
        except (requests.RequestException, ValueError) as error:
            raise DownloadError(
                f"{release.filename} could not be fetched from {url}: {_reason(error, timeout)}. "
                f"{by_hand}."
            ) from error
        if _came_unencrypted(url, answer):
            defect = f"it came unencrypted, by way of {answer.url}"
        else:
            defect = _defect(release, part, recorded)
        if defect is not None:
            raise DownloadError(
                f"{release.filename} came wrong from {url} and was deleted: {defect}. {by_hand}."
            )
    _remember(release, target)


def _download(url: str, file: _LimitedFile, timeout: float, progress: bool) -> "requests.Response":
    """Streams `url` into `file` and returns the last answer, its body read and closed."""
    import pooch

    answers: list[requests.Response] = []

    def keep(answer: "requests.Response", **_kwargs) -> None:
        answers.append(answer)

    fetch = pooch.HTTPDownloader(
        progressbar=progress,
        chunk_size=_CHUNK_BYTES,
        timeout=timeout,
        headers={"Accept-Encoding": "identity"},
        hooks={"response": keep},
    )
    try:
        fetch(url, file, None)
    finally:
        for answer in answers:
            answer.close()
    return answers[-1]


def _came_unencrypted(url: str, answer: "requests.Response") -> bool:
    return urlsplit(url).scheme == "https" and urlsplit(answer.url).scheme != "https"


def _reason(error: Exception, timeout: float) -> str:
    import requests

    if isinstance(error, requests.HTTPError):
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return f"no data came for {timeout:g} s"
    while error.args and isinstance(error.args[0], Exception):
        error = error.args[0]
    return str(error.args[0] if error.args else error)


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
