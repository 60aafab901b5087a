"""Random damage to bytes: what a bad disk, a bad line or a patient attacker does to a file."""

import random

_LENGTHS = (1, 2, 3, 4, 8, 16, 64, 256)
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """`data` after one to four random changes; never equal to it."""
    mutant = data
    while mutant == data:
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            mutant = rng.choice(_CHANGES)(bytearray(mutant), rng)
    return mutant


def _span(data: bytearray, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice(_LENGTHS))


def _flip_bit(data: bytearray, rng: random.Random) -> bytes:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _set_byte(data: bytearray, rng: random.Random) -> bytes:
    if data:
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def _set_number(data: bytearray, rng: random.Random) -> bytes:
    width = rng.choice((1, 2, 4, 8))
    number = rng.choice(_NUMBERS) % 256**width
    start = rng.randrange(len(data) + 1)
    data[start : start + width] = number.to_bytes(width, rng.choice(("little", "big")))
    return bytes(data)


def _zero(data: bytearray, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    data[start:end] = bytes(end - start)
    return bytes(data)


def _delete(data: bytearray, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    del data[start:end]
    return bytes(data)


def _insert(data: bytearray, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    data[start:start] = rng.randbytes(rng.choice(_LENGTHS))
    return bytes(data)


def _repeat(data: bytearray, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    data[start:start] = data[start:end] * rng.choice((1, 1, 2, 16))
    return bytes(data)


def _move(data: bytearray, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    piece = data[start:end]
    to = rng.randrange(len(data) + 1)
    data[to : to + len(piece)] = piece
    return bytes(data)


def _cut(data: bytearray, rng: random.Random) -> bytes:
    return bytes(data[: rng.randrange(len(data) + 1)])


_CHANGES = (
    *(_flip_bit, _flip_bit, _set_byte, _set_byte, _set_number, _set_number),
    *(_zero, _delete, _insert, _repeat, _move, _cut),
)
