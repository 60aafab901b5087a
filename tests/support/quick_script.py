"""Runs `train_keras.py` with a model of few weights to choose, and graphs as they were written."""

import runpy
import sys

from t2t_keras.training.recipes import SMALL_VARIANTS
from tests.support.plain_graphs import leave_graphs_alone
from tests.support.running import MODEL, SCRIPT
from tests.support.training.tiny_run import TINY

if __name__ == "__main__":
    SMALL_VARIANTS[MODEL] = TINY
    leave_graphs_alone()
    sys.argv[0] = str(SCRIPT)
    runpy.run_path(sys.argv[0], run_name="__main__")
