"""Malicious and damaged checkpoints, built when a test runs; none may be read, none may act.

`vectors` yields a name and the file's bytes; `special_paths` makes what is not a regular file;
`controls` yields files in order, so that a reader that refuses everything fails too.
"""

import os
import socket
from pathlib import Path

from tests.support.weights import torch_writer as torch
from tests.support.weights.malicious_files import (
    broken_streams,
    broken_zips,
    damaged_goldens,
    other_files,
)
from tests.support.weights.malicious_pickles import (
    PROTOCOLS,
    bad_tensors,
    bombs,
    foreign_calls,
    misused_names,
    strange_opcodes,
)
from tests.support.weights.torch_writer import Vectors, in_both_formats


def vectors(canary: Path) -> Vectors:
    """Every vector; a payload that ran would leave the file `canary`."""
    yield from foreign_calls(canary)
    for part in (misused_names, strange_opcodes, bombs, bad_tensors):
        yield from part()
    for part in (broken_zips, broken_streams, other_files, damaged_goldens):
        yield from part()


def controls() -> Vectors:
    """Files built by the same means that are in order, so that refusing them would be wrong."""
    one = torch.tensor(torch.storage("0", 4), [4], [1])
    for protocol in PROTOCOLS:
        yield from in_both_formats(f"control-p{protocol}", torch.whole(one, protocol))
    yield from in_both_formats("control-without-tensor", torch.whole(torch.mapping({"a": b"N"})))


def special_paths(folder: Path) -> list[Path]:
    """Paths that are no regular file: made in `folder`, which must be short for the socket."""
    os.mkfifo(folder / "pipe.pth")
    for name, target in (("loop", "loop.pth"), ("dangling", "nothing"), ("linked", "pipe.pth")):
        (folder / f"{name}.pth").symlink_to(folder / target)
    (folder / "folder.pth").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s.pth"))
    with (folder / "sparse-8-GiB.pth").open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(2**33)
    devices = [Path("/dev", name) for name in ("zero", "null", "tty")]
    return [*folder.iterdir(), folder / "missing.pth", *devices]
