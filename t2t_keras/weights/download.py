"""The weights cache: released files, downloaded once and checked before each use.

A download is limited in size, comes encrypted, runs once for several processes, and is on disk and
checked before it has its name. A file without a published digest is checked as a checkpoint and
remembered by its own digest.
"""

import logging
import os
import time
from pathlib import Path

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

# requests and tqdm are imported where a download begins: most runs have none.

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 18
_MOST_BYTES = 1 << 30  # four times the weights of the largest variant
_LEAST_SPEED = 1000  # bytes a second


def weights_dir() -> Path:
    """Returns `models/t2t_keras` in $KERAS_HOME or `~/.keras`; creates nothing."""
    root = Path(os.environ.get("KERAS_HOME") or "~/.keras")
    try:
        return root.expanduser().absolute() / "models" / "t2t_keras"
    except RuntimeError as error:
        raise DownloadError(
            f"The weights cache {root} has no place: {error} Choose a folder with the environment "
            "variable KERAS_HOME."
        ) from error


def _download(url: str, path: Path, most_bytes: int, timeout: float) -> str:
    """Streams `url` into a file and returns the address that the bytes came from."""
    import requests
    from tqdm import tqdm

    headers = {"Accept-Encoding": "identity"}
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as answer:
        answer.raise_for_status()
        size = int(answer.headers.get("Content-Length", 0))
        with (
            open(path, "wb") as file,
            tqdm(total=size or None, unit="B", unit_scale=True) as bar,
        ):
            marked, since = 0, time.monotonic()
            # `iter_content` would wait for a whole chunk, however slowly its bytes come.
            while chunk := answer.raw.read1(_CHUNK_BYTES, decode_content=True):
                if file.tell() + len(chunk) > most_bytes:
                    raise ValueError(f"more than the expected {most_bytes:,} bytes came")
                file.write(chunk)
                bar.update(len(chunk))
                if (seconds := time.monotonic() - since) >= timeout:
                    speed = (file.tell() - marked) / seconds
                    if speed < _LEAST_SPEED:
                        raise ValueError(f"it came at {speed:,.0f} bytes/s, too slowly to wait for")
                    marked, since = file.tell(), time.monotonic()
        return answer.url


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


def _replace(release: Release, target: Path, url: str, timeout: float, old_defect: str) -> None:
    """Puts a freshly downloaded file at `target`, where the present one has `old_defect`."""
    import requests
    from urllib3.exceptions import HTTPError

    recorded = recorded_digest(target)
    by_hand = f"Try again later, or download {url} yourself and place it at {target}"
    if recorded is not None:
        by_hand += f" (and delete {digest_record(target)})"
    if os.path.lexists(target):
        logger.warning("Fetching %s again; the file there is refused: %s.", target, old_defect)
        by_hand += f"; the file there now is refused: {old_defect}"
    with atomic_path(target) as part:
        try:
            final_url = _download(url, part, release.size or _MOST_BYTES, timeout)
        except (requests.RequestException, HTTPError, ValueError) as error:
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


def fetch_release(release: Release, base_url: str = RELEASES_URL, timeout: float = 30.0) -> Path:
    """Returns the path of a released file, downloading it if the cache does not have it.

    A good file in the cache is used without any network call; so is one placed there by hand. A
    damaged or exchanged one is fetched again. `timeout` is in seconds without any data, or with
    less than 1,000 bytes each.
    """
    target = weights_dir() / release.filename
    if _cached_defect(release, target) is None:
        return target
    try:
        # Keras' own downloads move to a folder in /tmp that any user can write to; these never do.
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target) as alone:
            if alone:
                remove_leftovers(target.parent, target.name)
            # Another process may have finished it since the first look.
            defect = _cached_defect(release, target)
            if defect is not None:
                _replace(release, target, base_url + release.filename, timeout, defect)
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(
            f"Weights cannot be stored in {target.parent} ({error}). Make room there or make it "
            "writable, or choose another folder with the environment variable KERAS_HOME."
        ) from error
    return target
