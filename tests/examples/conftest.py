from tests.export.conftest import exported, model, served
from tests.support.quick_graphs import pytest_runtest_setup, pytest_runtest_teardown

__all__ = ["exported", "model", "pytest_runtest_setup", "pytest_runtest_teardown", "served"]
