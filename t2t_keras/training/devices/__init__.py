"""The devices of a run: TensorFlow's, or JAX's on one or several machines."""

from t2t_keras.training.devices.mirrored import decorrelate_dropout
from t2t_keras.training.devices.processes import (
    ALONE,
    Processes,
    exit_without_barrier,
    fail_without_barrier,
    join_processes,
    lost_process,
)
from t2t_keras.training.devices.run_devices import (
    Batches,
    Devices,
    check_global_batch,
    make_devices,
)

__all__ = [
    "ALONE",
    "Batches",
    "Devices",
    "Processes",
    "check_global_batch",
    "exit_without_barrier",
    "fail_without_barrier",
    "join_processes",
    "lost_process",
    "make_devices",
    "decorrelate_dropout",
]
