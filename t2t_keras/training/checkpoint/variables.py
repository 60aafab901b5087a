"""Every variable of a run as arrays under keys that are the same in every process.

That is all of them: weights, seeds, slots, moving averages, loss scale and metrics. Where the
devices' values of a variable differ, each one is kept.
"""

import re
from collections.abc import Iterable, Mapping

import keras
import numpy as np
import tensorflow as tf

from t2t_keras.errors import ResumeError

_COUNTED = re.compile(r"(?<=seed_generator)_\d+(?=/)")  # counts those a process ever made
_OPTIMIZER_COUNT = re.compile(r"^([a-z_]*[a-z])_\d+(?=/)")
_SHOWN = 5

Arrays = dict[str, np.ndarray]
Variables = dict[str, keras.Variable]


def run_variables(model: keras.Model) -> Variables:
    """Weights and seeds of a model, and all variables of its built optimizer."""
    optimizer = named("optimizer", model.optimizer.variables)
    return {**named("model", model.variables), **optimizer}


def named(group: str, variables: Iterable[keras.Variable]) -> Variables:
    """Variables of a "model", an "optimizer" or "metrics", by their keys."""
    found: Variables = {}
    for variable in variables:
        path = _COUNTED.sub("", variable.path)
        if group == "optimizer":
            path = _OPTIMIZER_COUNT.sub(r"\1", path)
        key, count = f"{group}/{path}", 1
        while key in found:
            count += 1
            key = f"{group}/{path}:{count}"
        found[key] = variable
    return found


def captured(variables: Mapping[str, keras.Variable]) -> Arrays:
    """Copies of the variables' values: KEY, and KEY@1 and so on where other devices' differ."""
    arrays: Arrays = {}
    for key, variable in variables.items():
        first, *others = (np.array(copy.numpy()) for copy in _copies(variable))
        arrays[key] = first
        if _is_shared_sum(variable) or any(other.tobytes() != first.tobytes() for other in others):
            arrays |= {f"{key}@{index}": other for index, other in enumerate(others, 1)}
    return arrays


def restore(variables: Mapping[str, keras.Variable], arrays: Mapping[str, np.ndarray]) -> None:
    """Assigns captured values to variables, to all of them or none.

    With another number of devices, a variable gets the sum of what each device had summed up, or
    the first device's value of anything else.
    Keys of other groups are ignored; else a ResumeError tells which keys, shapes or dtypes differ.
    """
    groups = {key.split("/")[0] for key in variables}
    ours = {key: array for key, array in arrays.items() if key.split("/")[0] in groups}
    _check(variables, {key: array for key, array in ours.items() if "@" not in key})
    by_device: dict[str, list[np.ndarray]] = {}
    for key in sorted(ours, key=lambda key: (len(key), key)):  # KEY@2 comes before KEY@10
        by_device.setdefault(key.split("@")[0], []).append(ours[key])
    for key, variable in variables.items():
        _assign(variable, by_device[key], sums=key.startswith("metrics/"))


def _check(variables: Mapping[str, keras.Variable], arrays: Mapping[str, np.ndarray]) -> None:
    expected = {key: (tuple(v.shape), v.dtype) for key, v in variables.items()}
    found = {key: (array.shape, array.dtype.name) for key, array in arrays.items()}
    if expected == found:
        return
    missing = [f"- {key} {expected[key]}" for key in expected if expected[key] != found.get(key)]
    surplus = [f"+ {key} {found[key]}" for key in found if found[key] != expected.get(key)]
    shown = [line for lines in (missing, surplus) for line in lines[:_SHOWN]]
    raise ResumeError(
        f"The checkpoint belongs to another model or optimizer: {len(missing)} variables of this "
        f"run are missing in it (-), {len(surplus)} of its variables have no place (+). Start with "
        "the settings and the version of the run.\n" + "\n".join(shown)
    )


def _assign(variable: keras.Variable, arrays: list[np.ndarray], sums: bool) -> None:
    copies = _copies(variable)
    sums = _is_shared_sum(variable) or (sums and len(arrays) > 1)
    if len(arrays) != len(copies) and sums:
        arrays = [sum(arrays[1:], start=arrays[0]), *[np.zeros_like(arrays[0])] * (len(copies) - 1)]
    if len(arrays) != len(copies):
        arrays = [arrays[0]] * len(copies)
    for copy, array in zip(copies, arrays, strict=True):
        copy.assign(array)


def _copies(variable: keras.Variable) -> tuple[keras.Variable | tf.Variable, ...]:
    """The copies of a variable on each device; JAX's devices never differ."""
    value = variable.value
    if not isinstance(value, tf.distribute.DistributedValues):
        return (variable,)
    return value.distribute_strategy.experimental_local_results(value)


def _is_shared_sum(variable: keras.Variable) -> bool:
    """True if each device adds up its own share."""
    value = variable.value
    return (
        isinstance(value, tf.distribute.DistributedValues)
        and value.synchronization == tf.VariableSynchronization.ON_READ
    )
