"""Ways in which a disk, a copy or a person damages a checkpoint."""

import random
import shutil
from pathlib import Path

_PAGE = 4096


def _file(checkpoint: Path, dice: random.Random) -> Path:
    return dice.choice(sorted(checkpoint.iterdir()))


def _truncate(checkpoint: Path, dice: random.Random) -> None:
    path = _file(checkpoint, dice)
    content = path.read_bytes()
    path.write_bytes(content[: dice.randrange(len(content))])


def _flip(checkpoint: Path, dice: random.Random) -> None:
    path = _file(checkpoint, dice)
    content = bytearray(path.read_bytes())
    content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    path.write_bytes(content)


def _zero_page(checkpoint: Path, dice: random.Random) -> None:
    path = _file(checkpoint, dice)
    content = bytearray(path.read_bytes())
    start = dice.randrange(0, len(content), _PAGE)
    page = content[start : start + _PAGE]
    content[start : start + _PAGE] = bytes(len(page))
    path.write_bytes(content)


def _delete_file(checkpoint: Path, dice: random.Random) -> None:
    _file(checkpoint, dice).unlink()


def _delete(checkpoint: Path, dice: random.Random) -> None:
    shutil.rmtree(checkpoint)


def _swap_files(checkpoint: Path, dice: random.Random) -> None:
    one, two = dice.sample(sorted(checkpoint.iterdir()), 2)
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)


DAMAGES = {
    "truncate": _truncate,
    "flip": _flip,
    "zero_page": _zero_page,
    "delete_file": _delete_file,
    "delete": _delete,
    "swap_files": _swap_files,
}
