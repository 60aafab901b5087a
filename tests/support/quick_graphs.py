"""A plugin of pytest: tests in some folders run TensorFlow's graphs as they were written.

Optimizing a graph takes longer than the few small batches that these tests run through it.
"""

import pytest
import tensorflow as tf

from t2t_keras.data.ops.graph import plain_options
from tests.support.plain_graphs import leave_graphs_alone

FOLDERS = tuple(f"tests/{name}/" for name in ("cli", "data", "examples", "export", "training"))

# Before a test module starts TensorFlow: the graphs of datasets take most of the time.
leave_graphs_alone()
tf.constant(0)
leave_graphs_alone(False)

# Keras gives its datasets no options, and an abandoned iterator of such a dataset may block a later
# test's `gc.collect` for a minute (see `plain_options`).
_tuned = tf.data.Dataset.__iter__
tf.data.Dataset.__iter__ = lambda dataset: _tuned(dataset.with_options(plain_options()))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    leave_graphs_alone(item.nodeid.startswith(FOLDERS))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item):
    leave_graphs_alone(False)
