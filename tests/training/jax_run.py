"""A tiny run on JAX as one of some processes, as JSON; each needs a fresh one."""

import json
import sys
from pathlib import Path

from t2t_keras.training import make_config, train
from t2t_keras.training.processes import join_processes
from t2t_keras.training.recipes import SMALL_VARIANTS
from tests.training.conftest import FIELDS, TINY

if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    if "coordinator" in asked:
        join_processes(asked["coordinator"], asked["num_processes"], asked["process_id"])
    SMALL_VARIANTS["tiny"] = TINY
    result = train(make_config(**{**FIELDS, **asked["config"]}), Path(asked["folder"]))
    report = {
        "history": result.history,
        "replicas": result.replicas,
        "test_loss": result.scores.loss,
        "confusion": result.scores.confusion.tolist(),
    }
    sys.stdout.write(json.dumps(report))
