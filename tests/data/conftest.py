import pytest

from t2t_keras.data.sources.source import open_source
from tests.support.images import make_folder


@pytest.fixture(scope="session")
def digits_dir(tmp_path_factory):
    """Folder of the digits, prepared once for all tests."""
    return tmp_path_factory.mktemp("tfds")


@pytest.fixture(scope="session")
def digits(digits_dir):
    return open_source("digits", digits_dir)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Three classes of small images: 4 + 5 + 6 to train on, 2 + 1 + 2 to evaluate on."""
    root = tmp_path_factory.mktemp("images")
    make_folder(root / "train", {"apple": 4, "pear": 5, "plum": 6})
    make_folder(root / "val", {"apple": 2, "pear": 1, "plum": 2})
    return root
