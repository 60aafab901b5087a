"""The names of devices, such as cpu:0 or gpu:1."""

import re
from collections.abc import Sequence

_DEVICE = re.compile(r"(cpu|gpu|tpu):(\d+)")


def parsed_devices(devices: Sequence[str]) -> list[tuple[str, int]]:
    """Returns the (kind, number from 0) of each name."""
    found = [_DEVICE.fullmatch(device.strip().lower()) for device in devices]
    parsed = [(match[1], int(match[2])) for match in found if match]
    if len(set(parsed)) < len(devices):
        raise ValueError(
            "`devices` must be different names such as cpu:0 or gpu:1. "
            f"Received: devices={','.join(devices)}"
        )
    return parsed


def too_late(asked: int, library: str, present: int) -> ValueError:
    """The error for a CPU that can no longer be split."""
    return ValueError(
        f"`devices` asks for {asked} CPU devices, but {library} runs with {present} in this "
        "process. Choose them before anything else runs, or in a fresh process."
    )
