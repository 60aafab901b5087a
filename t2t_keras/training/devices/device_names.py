"""Devices by their names, such as cpu:0 or gpu:1: which ones exist, and how JAX finds them."""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import tensorflow as tf

from t2t_keras.errors import check

if TYPE_CHECKING:
    import jax

_DEVICE = re.compile(r"(cpu|gpu|tpu):(\d+)")


def parsed_devices(devices: Sequence[str]) -> list[tuple[str, int]]:
    """Returns the (kind, number from 0) of each name."""
    found = [_DEVICE.fullmatch(device.strip().lower()) for device in devices]
    parsed = [(match[1], int(match[2])) for match in found if match]
    different = len(set(parsed)) == len(devices)
    check(different, "devices", ",".join(devices), "different names such as cpu:0 or gpu:1")
    return parsed


def needed(parsed: Sequence[tuple[str, int]], kind: str) -> int:
    """Number of devices of a kind that there must be for these names."""
    return max((index + 1 for each, index in parsed if each == kind), default=0)


def split_cpu(
    count: int, library: str, split: Callable[[], None], present: Callable[[], int]
) -> None:
    """Has a library `split` the CPU into `count` devices, unless that many are present already."""
    try:
        split()
    except RuntimeError as error:
        if present() < count:
            raise ValueError(
                f"`devices` asks for {count} CPU devices, but {library} runs with {present()} in "
                "this process. Choose them before anything else runs, or in a fresh process."
            ) from error


def prepare_jax(names: Sequence[str] = ()) -> None:
    """Makes as many CPU devices as are named; TensorFlow, which only reads, gets no GPU."""
    import jax

    tf.config.set_visible_devices([], "GPU")
    count = needed(parsed_devices(names), "cpu")
    if count > 1:
        split_cpu(
            count,
            "JAX",
            lambda: jax.config.update("jax_num_cpu_devices", count),
            lambda: jax.local_device_count("cpu"),
        )


def chosen_devices(names: Sequence[str]) -> list["jax.Device"]:
    """Returns JAX's devices of all processes, in the order of the processes' numbers."""
    import jax

    if not names:
        return jax.devices()
    chosen = []
    for process in range(jax.process_count()):
        for kind, index in parsed_devices(names):
            try:
                present = [each for each in jax.devices(kind) if each.process_index == process]
            except RuntimeError:  # JAX has no such kind
                present = []
            expected = f"among the {len(present)} of kind {kind} that JAX sees in process {process}"
            check(index < len(present), "devices", ",".join(names), expected)
            chosen.append(present[index])
    return chosen
