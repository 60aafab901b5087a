"""Seeds for a layer's children: one seed would give two dropouts of one shape the same mask."""

import zlib


def child_seed(seed: int | None, child: str | int) -> int | None:
    """A seed for the child of that name or index: None stays None."""
    return None if seed is None else zlib.crc32(f"{seed}/{child}".encode())
