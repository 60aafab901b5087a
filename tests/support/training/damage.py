"""Ways in which a disk, a copy or a person damages a checkpoint."""

import random
import shutil
from pathlib import Path

_PAGE = 4096
_WAYS = ("truncate", "flip a bit", "zero a page", "swap files", "delete a file", "delete all")


def damage(checkpoint: Path, dice: random.Random) -> None:
    """Damages one of a checkpoint's files, or all of them."""
    path, other = dice.sample(sorted(checkpoint.iterdir()), 2)
    content, way = bytearray(path.read_bytes()), dice.choice(_WAYS)
    if way == "delete all":
        shutil.rmtree(checkpoint)
        return
    if way == "delete a file":
        path.unlink()
        return
    if way == "truncate":
        del content[dice.randrange(len(content)) :]
    elif way == "flip a bit":
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    elif way == "zero a page":
        start = dice.randrange(0, len(content), _PAGE)
        content[start : start + _PAGE] = bytes(len(content[start : start + _PAGE]))
    else:
        theirs = other.read_bytes()
        other.write_bytes(content)
        content = theirs
    path.write_bytes(content)
