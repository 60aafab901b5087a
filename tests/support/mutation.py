"""Damage to files: random changes of their bytes."""

import random
from pathlib import Path

_LENGTHS = (0, 1, 1, 1, 2, 3, 4, 8, 16, 64, 256, 4096, None)
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)


def _change(data: bytearray, rng: random.Random) -> None:
    """Replaces a span, an empty one at times or all to the end, by nothing or something else."""
    start, length = rng.randrange(len(data) + 1), rng.choice(_LENGTHS)
    old = bytes(data[start : None if length is None else start + length])
    flipped, other = bytearray(old), rng.randrange(len(data) + 1)
    if old:
        flipped[rng.randrange(len(old))] ^= 1 << rng.randrange(8)
    number = rng.choice(_NUMBERS).to_bytes(8, "little")[: len(old)]
    replacements = {
        "delete": b"",
        "zero": bytes(len(old)),
        "flip": bytes(flipped),
        "noise": rng.randbytes(len(old)),
        "insert": rng.randbytes(rng.randrange(16)) + old,
        "number": number[:: rng.choice((1, -1))] + old[8:],
        "repeat": old + old[:256] * rng.choice((1, 2, 16)),
        "copy": bytes(data[other : other + len(old)]),
    }
    kinds = ("flip", "flip", "noise", "number", "number", *replacements)
    data[start : start + len(old)] = replacements[rng.choice(kinds)]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """`data` after one to four random changes; never equal to it."""
    mutant = bytearray(data)
    while mutant == data:
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            _change(mutant, rng)
    return bytes(mutant)


def damage(file: Path, rng: random.Random) -> None:
    """Mutates a file, as a disk, a copy or a person does, or deletes it."""
    if rng.random() < 0.2:
        file.unlink()
    else:
        file.write_bytes(mutate(file.read_bytes(), rng))
