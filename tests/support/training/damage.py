"""Ways in which a disk, a copy or a person damages a checkpoint."""

import random
from pathlib import Path

_PAGE = 4096
_WAYS = ("truncate", "flip a bit", "zero a page", "swap pages", "delete")


def damage(checkpoint: Path, dice: random.Random) -> None:
    """Damages a checkpoint's file, or deletes it."""
    content, way = bytearray(checkpoint.read_bytes()), dice.choice(_WAYS)
    pages = [content[start : start + _PAGE] for start in range(0, len(content), _PAGE)]
    one, other = dice.sample(range(len(pages)), 2)
    if way == "delete":
        checkpoint.unlink()
        return
    if way == "truncate":
        del content[dice.randrange(len(content)) :]
    elif way == "flip a bit":
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    elif way == "zero a page":
        pages[one] = bytes(len(pages[one]))
        content = b"".join(pages)
    else:
        pages[one], pages[other] = pages[other], pages[one]
        content = b"".join(pages)
    checkpoint.write_bytes(content)
