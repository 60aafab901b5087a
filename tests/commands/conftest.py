import logging

import pytest

from tests.quick_graphs import pytest_runtest_setup, pytest_runtest_teardown

__all__ = ["pytest_runtest_setup", "pytest_runtest_teardown"]


@pytest.fixture(autouse=True)
def own_log():
    """`run` takes the package's log for itself; other tests want it back."""
    log = logging.getLogger("t2t_keras")
    before = (log.handlers, log.propagate, log.level)
    yield
    log.handlers, log.propagate, log.level = before
