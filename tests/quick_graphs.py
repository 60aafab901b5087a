"""Hooks for a folder's conftest: its tests run TensorFlow's graphs as they were written.

Optimising a graph takes longer than the few small batches that these tests run through it.
"""

import pytest
import tensorflow as tf


def leave_graphs_alone(yes: bool = True) -> None:
    """Whether TensorFlow leaves the rewriting of graphs out, in this process and from now on."""
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": yes})


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    leave_graphs_alone()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item):
    leave_graphs_alone(False)
