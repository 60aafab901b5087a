"""Trains on two CPU devices and prints what came of it as JSON: needs a fresh process."""

import json
import sys
from pathlib import Path

from t2t_keras.training import make_config, train
from t2t_keras.training.recipes import SMALL_VARIANTS
from tests.training.conftest import FIELDS, TINY

if __name__ == "__main__":
    SMALL_VARIANTS["tiny"] = TINY
    config = make_config(**{**FIELDS, "dataset": sys.argv[1], "devices": ("cpu:0", "cpu:1")})
    result = train(config, Path(sys.argv[2]))
    report = {
        "history": result.history,
        "replicas": result.replicas,
        "test_loss": result.scores.loss,
        "confusion": result.scores.confusion.tolist(),
    }
    sys.stdout.write(json.dumps(report))
