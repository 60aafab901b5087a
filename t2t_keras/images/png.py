"""A PNG reduced to what its pixels and orientation depend on, checked as strictly as by libpng.

Pillow alone also takes a PNG that lacks pixels, or has its chunks in another order, and refuses one
for what is in its comments.
"""

import io
import re
import struct
import zlib
from collections.abc import Callable
from typing import IO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Kinds that are not read stand anywhere after the header, but not between two parts of the pixels.
_OTHERS = "(?:[a-z][A-Za-z]{3})*"
CHUNK_ORDER = f"IHDR{_OTHERS}(?:PLTE{_OTHERS})?(?:IDAT)+{_OTHERS}IEND"
MAX_CHUNKS = 1 << 15  # encoders put 8 kB or more of pixels into one

# A file that is whole, but of a kind that is not read.
IOS_PNG = "iOS' own form of PNG (CgBI), which pngcrush -revert-iphone-optimizations undoes"

_READ = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf", b"iTXt", b"zTXt", b"tEXt")
PALETTE = 3  # the type of color
_CHANNELS = {0: 1, 2: 3, PALETTE: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), PALETTE: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_TURNS = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")  # texts that may hold an orientation
# Left, top, and steps to the right and down, of each pass over an interlaced image.
_PASSES: tuple[tuple[int, int, int, int], ...]
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
_PASSES += ((0, 1, 1, 2),)
_PART = 1 << 20  # bytes that are decompressed at a time


def reduced(file: IO[bytes], check_size: Callable[[int, int], None]) -> IO[bytes]:
    """Reduces a PNG, given after its signature; `check_size` gets its width and height first.

    Raises a ValueError, struct.error or zlib.error if it is damaged.
    """
    chunks = _chunks(file, check_size)
    kinds = [kind for kind, _ in chunks]
    if b"CgBI" in kinds:
        raise ValueError(IOS_PNG)
    if not re.fullmatch(CHUNK_ORDER.encode(), b"".join(kinds)):
        raise ValueError("chunks are missing or out of order")
    width, height, depth, color, *methods, interlaced = struct.unpack(">II5B", chunks[0][1])
    if depth not in _DEPTHS.get(color, ()) or any(methods) or interlaced > 1:
        raise ValueError("a header of no PNG")
    pixels = b"".join(data for kind, data in chunks if kind == b"IDAT")
    _check_whole(pixels, _inflated_size(width, height, depth * _CHANNELS[color], interlaced))
    read = [chunks[0]]
    if color == PALETTE:
        before = chunks[: kinds.index(b"IDAT")]
        read += _palette(before, 1 << depth)
    read += [each for each in chunks if each[0] == b"eXIf" or each[1].startswith(_TURNS)]
    read += [(b"IDAT", pixels), (b"IEND", b"")]
    return io.BytesIO(SIGNATURE + b"".join(_packed(*chunk) for chunk in read))


def _chunks(file: IO[bytes], check_size: Callable[[int, int], None]) -> list[tuple[bytes, bytes]]:
    """Reads (kind, content) up to IEND; what is not needed, or may be damaged, has no content."""
    chunks: list[tuple[bytes, bytes]] = []
    while not chunks or chunks[-1][0] != b"IEND":
        if len(chunks) == MAX_CHUNKS:
            raise ValueError(f"more than {MAX_CHUNKS:,} chunks")
        size, kind = struct.unpack(">I4s", file.read(8))
        if kind not in _READ:
            file.seek(size + 4, io.SEEK_CUR)
            chunks.append((kind, b""))
            continue
        data, checksum = file.read(size), file.read(4)
        wrong = checksum != _checksum(kind, data)
        if len(checksum) < 4 or (wrong and kind in (b"IHDR", b"IDAT")):
            raise ValueError("a damaged chunk")
        if kind == b"IHDR":
            check_size(*struct.unpack(">II5x", data))
        chunks.append((kind, b"" if wrong and kind in (b"PLTE", b"tRNS") else data))
    return chunks


def _palette(chunks: list[tuple[bytes, bytes]], most: int) -> list[tuple[bytes, bytes]]:
    """Finds the colors and, in a chunk after these, their alpha."""
    kinds = [kind for kind, _ in chunks]
    colors = chunks[kinds.index(b"PLTE")][1] if b"PLTE" in kinds else b""
    if not colors or len(colors) % 3 or len(colors) > 768:
        raise ValueError("a damaged palette, or none")
    colors = colors[: 3 * most]
    found = [(b"PLTE", colors)]
    if b"tRNS" in kinds[kinds.index(b"PLTE") :]:
        alpha = chunks[kinds.index(b"tRNS")]
        found += [alpha] if 0 < len(alpha[1]) <= len(colors) // 3 else []
    return found


def _inflated_size(width: int, height: int, bits: int, interlaced: int) -> int:
    """Bytes of all rows, each after its filter; `bits` are those of a pixel."""
    size = 0
    for left, top, right, down in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = len(range(left, width, right)), len(range(top, height, down))
        size += rows * (1 + (columns * bits + 7) // 8) if columns else 0
    return size


def _check_whole(pixels: bytes, size: int) -> None:
    """Raises an error unless there are that many bytes of pixels."""
    inflate = zlib.decompressobj()
    for start in range(0, len(pixels), _PART):
        part = pixels[start : start + _PART]
        while part and size > 0:
            size -= len(inflate.decompress(part, _PART))
            part = inflate.unconsumed_tail
    if size > len(inflate.flush()):
        raise ValueError("pixels are missing")


def _packed(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + _checksum(kind, data)


def _checksum(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
