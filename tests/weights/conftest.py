import pytest

from tests.support.weights.release_server import serving
from tests.support.weights.released import BODY, PINNED, UNPINNED


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """Reaches the local server where downloads otherwise go by way of a proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server():
    """A local server of BODY."""
    with serving(BODY) as running:
        yield running


@pytest.fixture(params=[UNPINNED, PINNED], ids=["unpinned", "pinned"])
def release(request):
    """The release with and without a published size and digest."""
    return request.param
