"""The weights cache: released files, downloaded once, and their conversions, kept.

Pooch transfers the bytes; where its `retrieve` promises less than this cache does, the code is our
own: a kill leaves no unnamed temporary file forever, a file is on disk before it has its name, an
answer has a size limit and comes encrypted, several processes download once, and a file without a
published digest is checked as a checkpoint and remembered by its own digest.
"""

import contextlib
import io
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from t2t_keras.weights.torch_reader import checkpoint_defect

if TYPE_CHECKING:  # pooch and requests are imported where a download begins: most runs have none
    import requests

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 18
_MOST_BYTES = 1 << 30  # four times the weights of the largest variant
_KEY_DIGITS = 16


def weights_dir(cache_dir: str | os.PathLike | None = None) -> Path:
    """Returns `models/t2t_keras` in `cache_dir`, $KERAS_HOME or `~/.keras`; creates nothing."""
    root = Path(cache_dir or os.environ.get("KERAS_HOME") or "~/.keras")
    try:
        return root.expanduser().absolute() / "models" / "t2t_keras"
    except RuntimeError as error:
        raise DownloadError(
            f"The weights cache {root} has no place: {error} Choose a folder with `cache_dir` or "
            "the environment variable KERAS_HOME."
        ) from error


@contextlib.contextmanager
def _storing(target: Path) -> Iterator[None]:
    """Holds the lock of a file in the cache; any `OSError` of the block becomes a `DownloadError`.

    Keras' own downloads move to a folder in /tmp that any user can write to; this never does.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target) as alone:
            if alone:
                remove_leftovers(target)
            yield
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(
            f"Weights cannot be stored in {target.parent} ({error}). Make room there or make it "
            "writable, or choose another folder with `cache_dir` or the environment variable "
            "KERAS_HOME."
        ) from error


class _LimitedFile(io.BufferedWriter):
    """A file being downloaded, so that an endless answer does not fill the disk."""

    def __init__(self, path: Path, most_bytes: int):
        super().__init__(io.FileIO(path, "w"))
        self._most_bytes = most_bytes

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self._most_bytes:
            raise ValueError(f"more than the expected {self._most_bytes:,} bytes came")
        return super().write(data)


def _download(url: str, file: _LimitedFile, timeout: float, progress: bool) -> str:
    """Streams `url` into `file` and returns the address that the bytes came from."""
    import pooch

    answers: list[requests.Response] = []

    def keep(answer: "requests.Response", **_kwargs: object) -> None:
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
    return answers[-1].url


def _reason(error: Exception, timeout: float) -> str:
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return f"no data came for {timeout:g} s"
    while error.args and isinstance(error.args[0], Exception):
        error = error.args[0]
    return str(error.args[0] if error.args else error)


def _defect(release: Release, path: Path, recorded: str | None) -> str | None:
    size = path.stat().st_size
    if release.size is not None and size != release.size:
        return f"it has {size:,} bytes, expected {release.size:,}"
    algorithm, expected = ("sha384", release.sha384) if release.sha384 else ("sha256", recorded)
    if expected is None:
        return checkpoint_defect(path)
    digest = digest_of(path, algorithm)
    return None if digest == expected else f"its {algorithm} is {digest}, expected {expected}"


def _remember(release: Release, target: Path) -> None:
    if release.sha384 is not None or recorded_digest(target) is not None:
        return
    try:
        record_digest(target)
    except OSError as error:  # a shared cache may be read-only
        logger.info("The digest of %s is not kept: %s", target, error)


def _cached_defect(release: Release, target: Path) -> str | None:
    """Returns why the file in the cache cannot be used, or None; remembers one seen first."""
    try:
        if not target.is_file():
            return "it is not there"
        defect = _defect(release, target, recorded_digest(target))
    except OSError as error:
        return f"it cannot be read ({error})"
    if defect is None:
        _remember(release, target)
    return defect


def _replace(
    release: Release, target: Path, url: str, timeout: float, progress: bool, old_defect: str
) -> None:
    """Puts a freshly downloaded file at `target`, where the present one has `old_defect`."""
    import requests

    recorded = recorded_digest(target)
    by_hand = f"Try again later, or download {url} yourself and place it at {target}"
    if recorded is not None:
        by_hand += f" (and delete {digest_record(target)})"
    if os.path.lexists(target):
        logger.warning("Fetching %s again; the file there is refused: %s.", target, old_defect)
        by_hand += f"; the file there now is refused: {old_defect}"
    with atomic_path(target) as part:
        try:
            with _LimitedFile(part, release.size or _MOST_BYTES) as file:
                final_url = _download(url, file, timeout, progress)
        except (requests.RequestException, ValueError) as error:
            raise DownloadError(
                f"{release.filename} could not be fetched from {url}: {_reason(error, timeout)}. "
                f"{by_hand}."
            ) from error
        defect = _defect(release, part, recorded)
        if url.lower().startswith("https:") and not final_url.startswith("https:"):
            defect = f"it came unencrypted, by way of {final_url}"
        if defect is not None:
            raise DownloadError(
                f"{release.filename} came wrong from {url} and was deleted: {defect}. {by_hand}."
            )
    _remember(release, target)


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
        release: One of `RELEASES`.
        cache_dir: Replaces $KERAS_HOME or `~/.keras`.
        base_url: The address of the release's files, such as a mirror's, ending in a slash.
        timeout: Seconds without any data after which the download fails.
        progress: Draw a progress bar on stderr.

    Raises:
        DownloadError: The file cannot be fetched or stored; the message says what to do by hand.
    """
    target = weights_dir(cache_dir) / release.filename
    if _cached_defect(release, target) is None:
        return target
    with _storing(target):
        # Another process may have finished it since the first look.
        defect = _cached_defect(release, target)
        if defect is not None:
            _replace(release, target, base_url + release.filename, timeout, progress, defect)
    return target


def _is_intact(path: Path) -> bool:
    try:
        return path.is_file() and recorded_digest(path) == digest_of(path)
    except OSError:
        return False


def cached_conversion(
    source: Path,
    name: str,
    build: Callable[[Path], None],
    converter_version: str,
    cache_dir: str | os.PathLike | None = None,
) -> Path:
    """Returns the converted form of a checkpoint, building it if the cache does not have it.

    Several processes may call this at once; one builds, the others wait for it. A kept file is used
    as long as it has the digest it was stored with: HDF5 has no checksums of its own, and a flipped
    bit would load as another weight. Exceptions of `build`, which writes a `.weights.h5` to the
    path it is given, pass through and leave nothing behind.
    """
    key = f"{name}-{digest_of(source)[:_KEY_DIGITS]}-{converter_version}"
    target = weights_dir(cache_dir) / f"{key}.weights.h5"
    if _is_intact(target):
        return target
    with _storing(target):
        if not _is_intact(target):
            if target.exists():
                logger.warning(
                    "Converting %s again: %s does not have its recorded digest.", source, target
                )
            with atomic_path(target) as part:
                build(part)
            record_digest(target)
    return target
