"""The file that the tests of the download fetch, and what they ask of the cache."""

import hashlib
from pathlib import Path

from t2t_keras.weights.download import fetch_release, weights_dir
from t2t_keras.weights.releases import Release

DATA = Path(__file__).parents[2] / "goldens"
BODY = (DATA / "tiny_transformer_half.pth.tar").read_bytes()
OTHER = (DATA / "tiny_bare_state_dict.pth").read_bytes()
LEGACY = (DATA / "tiny_performer_legacy.pth.tar").read_bytes()
NAME = "81.5_T2T_ViT_14.pth.tar"
UNPINNED = Release(variant="t2t_vit_14", filename=NAME, top1=81.5)
PINNED = Release(
    variant="t2t_vit_14",
    filename=NAME,
    top1=81.5,
    size=len(BODY),
    sha384=hashlib.sha384(BODY).hexdigest(),
)
NOWHERE = "http://127.0.0.1:9/"  # nothing listens at the discard port


def fetch(release, home, base_url, timeout=5.0):
    return fetch_release(release, home, base_url, timeout=timeout, progress=False)


def names(home):
    found = weights_dir(home).iterdir()
    return sorted(path.name for path in found if path.suffix != ".lock")


def place(home, content):
    """Puts a file where a user would by hand."""
    target = weights_dir(home) / NAME
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return target
