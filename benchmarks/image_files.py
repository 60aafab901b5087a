"""Image files of every kind, as encoders write them and as they do not."""

import functools
import random
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from tests.support.images import encode, exif_block, png_chunk
from tests.support.mutation import mutate

_NUMBERS = (0, 1, 2, 3, 5, 8, 16, 24, 32, 255, 256, 7999, 8000, 2**15 - 1, 2**15, 2**16 - 1)
_NUMBERS += (2**31 - 1, 2**31, 2**32 - 1)
_XMP = b'<x tiff:Orientation="%d"/>'
_LARGE = (8000, 4000)  # pixels a side, of few images


def fuzzed(rng: random.Random) -> tuple[str, bytes]:
    """A file that `rng` decides whole, and the name of its format."""
    kind = rng.choice(tuple(_MAKERS))
    data = _MAKERS[kind](rng)
    changes = {"none": 7, "parts": 5, "field": 4, "bytes": 3, "cut": 1, "longer": 1}
    change = rng.choices(list(changes), list(changes.values()))[0]
    if change == "parts" and kind in _SPLIT:
        data = _rearranged(kind, data, rng)
    elif change in ("field", "parts"):
        data = _field_changed(kind, data, rng)
    elif change == "bytes":
        data = mutate(data, rng)
    elif change == "cut":
        data = data[: -min(rng.choice((1, 2, 4, 12, 13, rng.randrange(len(data)))), len(data) - 1)]
    elif change == "longer":
        data += rng.choice((b"\0", b"\xff\xd9", rng.randbytes(20), data))
    return kind, data


def _image(rng: random.Random, mode: str = "RGB", large: bool = True) -> Image.Image:
    """Noise, slopes or one color; a large image of one color at times."""
    width, height = rng.randint(1, 40), rng.randint(1, 40)
    if large and rng.random() < 0.002:
        return Image.new(mode, _LARGE)
    y, x = np.mgrid[:height, :width]
    dice = np.random.default_rng(rng.randrange(2**32))
    rgba = {
        "noise": lambda: dice.integers(0, 256, (height, width, 4)),
        "slopes": lambda: np.stack([x * 5, y * 6, x * 3 + y * 3, x * 7 + y], -1) % 256,
        "one": lambda: np.broadcast_to(dice.integers(0, 256, 4), (height, width, 4)),
    }[rng.choice(("noise", "slopes", "slopes", "one"))]()
    image = Image.fromarray(rgba.astype(np.uint8))
    if mode == "P":
        return image.convert("RGB").quantize(rng.choice((2, 3, 16, 64, 256)))
    if mode in ("I", "I;16", "F"):
        return Image.fromarray(
            (rgba[..., 0] * 257).astype({"I;16": "<u2", "I": "i4"}.get(mode, "f4"))
        )
    return image if mode == "RGBA" else image.convert("RGBA").convert("RGB").convert(mode)


def _exif(rng: random.Random) -> bytes:
    """An EXIF block; most are plain, of any orientation."""
    order = rng.choice("<>")
    if rng.random() < 0.5:
        return exif_block(order, value=rng.randint(1, 8))
    block = exif_block(
        order,
        tag=rng.choice((0x0112, 0x0112, 0x0113)),
        kind=rng.choice((1, 2, 3, 3, 4, 4, 5, 7, 9, 13, 99)),
        count=rng.choice((0, 1, 1, 1, 2, 3, 2**31)),
        value=rng.choice((*range(10), 255, 65535)),
        start=rng.choice((8, 8, 8, 8, 6, 9, 2**31)),
    )
    way = rng.randrange(5)
    if way == 0:  # several entries, perhaps of the orientation
        entry = block[28:40]
        other = entry[:8] + bytes(rng.choice((1, 3, 6, 8)) for _ in range(4))
        block = block[:14] + struct.pack(order + "H", 3) + block[16:40] + other
    elif way == 1:
        block = mutate(block, rng)
    elif way == 2:  # an end of the directory, and a second one
        block += b"\0\0\0\0" + block[14:]
    return block


def _jpeg(rng: random.Random) -> bytes:
    options = {"quality": rng.choice((1, 30, 75, 95, 100)), "progressive": rng.random() < 0.3}
    mode = rng.choice(("RGB", "RGB", "RGB", "L", "CMYK"))
    if rng.random() < 0.3:
        options["restart_marker_blocks"] = rng.randint(1, 5)
    if rng.random() < 0.2:
        options["comment"] = rng.choice((b"Exif\0\0", b"Adobe", b"x" * 300))
    data = encode(_image(rng, mode), "JPEG", subsampling=rng.choice((0, 1, 2)), **options)
    app0 = data[:20]
    for _ in range(rng.choice((0, 0, 0, 0, 1, 1, 2))):  # where the first segment ends, or begins
        at = rng.choice((2, 20))
        data = data[:at] + _jpeg_segment(rng) + data[at:]
    way = rng.randrange(12)
    if way == 0 and b"\xff\xee\0\x0eAdobe" in data:
        at = data.index(b"\xff\xee\0\x0eAdobe")
        data = data[:at] + data[at + 16 :]
    elif way == 1 and data.startswith(app0):
        data = data[:2] + data[20:]
    elif way == 2:
        data += encode(_image(rng), "JPEG")
    elif way == 3 and mode == "RGB":  # components named R, G, B
        data = _renamed_components(data, b"RGB", rng)
    elif way == 4:
        data = encode(_image(rng), "MPO", save_all=True, append_images=[_image(rng)])
    return data


def _jpeg_segment(rng: random.Random) -> bytes:
    transform = bytes([rng.choice((0, 1, 2, 3))])
    kinds = {
        0xE1: lambda: rng.choice(
            (_exif(rng), _exif(rng), b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0" + _xmp(rng))
        ),
        0xEE: lambda: b"Adobe\0\x64\0\0\0\0" + transform,
        0xFE: lambda: rng.choice((b"Exif\0\0", b"Adobe", b"", rng.randbytes(30))),
        0xE2: lambda: b"ICC_PROFILE\0\1\1" + rng.randbytes(20),
        0xED: lambda: b"Photoshop 3.0\0" + rng.randbytes(20),
        0xDD: lambda: struct.pack(">H", rng.choice((0, 1, 4, 65535))),
        0xE0: lambda: b"JFIF\0\1\1\0\0\1\0\1\0\0",
    }
    marker = rng.choice((0xE1, 0xE1, 0xE1, *kinds))
    payload = kinds[marker]()
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(payload) + 2) + payload


def _xmp(rng: random.Random) -> bytes:
    text = _XMP % rng.randint(0, 9)
    return rng.choice((text, text.replace(b'="', b">"), text.replace(b'"', b"'"), text[:14]))


def _renamed_components(data: bytes, names: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for part in (b"\xff\xc0", b"\xff\xc2", b"\xff\xda"):
        at = data.find(part)
        while at >= 0:
            size, start = (2, at + 5) if part == b"\xff\xda" else (3, at + 10)
            for number in range(min(data[start - 1], 3)):
                place = start + size * number
                if place < len(data) and 1 <= data[place] <= 3:
                    changed[place] = names[data[place] - 1]
            at = data.find(part, at + 2)
    return bytes(changed)


def _png(rng: random.Random) -> bytes:
    if rng.random() < 0.02:  # a large one that compresses to little
        return encode(_image(rng, rng.choice(("L", "RGB", "RGBA", "LA", "1"))), "PNG")
    color = rng.choice((0, 2, 3, 4, 6))
    depth = rng.choice({0: (1, 2, 4, 8, 16), 3: (1, 2, 4, 8)}.get(color, (8, 16)))
    width, height, interlaced = rng.randint(1, 30), rng.randint(1, 30), rng.random() < 0.3
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    steps = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4))
    steps += ((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    rows = b""
    for left, top, across, down in steps if interlaced else ((0, 0, 1, 1),):
        columns = len(range(left, width, across))
        for _ in range(top, height, down) if columns else ():
            rows += bytes([rng.randrange(5)]) + rng.randbytes((columns * bits + 7) // 8)
    body = zlib.compress(rows)
    colors = rng.choice((1, 2**depth, 2**depth, 256)) if depth < 16 else 3
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    chunks = [(b"IHDR", header)]
    if color == 3 or rng.random() < 0.05:
        chunks.append((b"PLTE", rng.randbytes(3 * min(colors, 256))))
    if rng.random() < 0.3:
        sizes = {0: 2, 2: 6, 3: rng.randint(1, 2**depth if depth < 16 else 9)}
        chunks.append((b"tRNS", rng.randbytes(sizes.get(color, rng.choice((0, 1, 2, 6))))))
    for _ in range(rng.choice((0, 0, 1, 2))):
        chunks.insert(rng.randint(1, len(chunks)), _png_extra(rng))
    split = rng.randrange(len(body)) if rng.random() < 0.3 else len(body)
    chunks += [(b"IDAT", part) for part in (body[:split], body[split:]) if part]
    chunks += [_png_extra(rng)] if rng.random() < 0.1 else []
    data = b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)
    return data + (png_chunk(b"IEND", b"") if rng.random() < 0.97 else b"")


@functools.cache
def _zeros(count: int) -> bytes:
    return zlib.compress(bytes(count))


def _png_extra(rng: random.Random) -> tuple[bytes, bytes]:
    bomb = _zeros(rng.choice((100, 2 << 20, 70 << 20)))
    xmp = b"XML:com.adobe.xmp\0"
    hexed = b"\nexif\n%8d\n" % 44 + exif_block("<", value=rng.randint(1, 8)).hex().encode()
    return rng.choice(
        (
            lambda: (b"eXIf", _exif(rng)[rng.choice((6, 6, 6, 0)) :]),
            lambda: (b"tEXt", rng.choice((b"Comment\0eXIf", b"noend", b"XML\0" + _xmp(rng)))),
            lambda: (b"zTXt", b"a\0\0" + bomb),
            lambda: (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(hexed)),
            lambda: (b"iTXt", xmp + b"\0\0\0\0" + _xmp(rng)),
            lambda: (b"iTXt", xmp + b"\1\0\0\0" + zlib.compress(_xmp(rng))),
            lambda: (b"iTXt", b"k\0\1\0\0\0" + bomb),
            lambda: (b"iCCP", b"icc\0\0" + bomb),
            lambda: (b"acTL", struct.pack(">II", rng.choice((0, 1, 2, 2**31)), 0)),
            lambda: (
                b"fcTL",
                struct.pack(">5I2H2B", 0, *(rng.randrange(30) for _ in "4444"), 1, 1, 0, 0),
            ),
            lambda: (b"fdAT", rng.randbytes(20)),
            lambda: (b"CgBI", b"\x50\0\x20\x06"),
            lambda: (b"gAMA", struct.pack(">I", rng.choice((0, 45455, 100000, 2**31)))),
            lambda: (
                b"cHRM",
                struct.pack(">8I", *(rng.choice((0, 31270, 2**31)) for _ in range(8))),
            ),
            lambda: (b"sBIT", rng.randbytes(rng.randint(0, 4))),
            lambda: (b"bKGD", rng.randbytes(rng.randint(0, 6))),
            lambda: (b"hIST", rng.randbytes(rng.randint(0, 6))),
            lambda: (b"pHYs", rng.randbytes(rng.choice((9, 3)))),
            lambda: (b"tIME", rng.randbytes(7)),
            lambda: (b"sRGB", rng.randbytes(rng.choice((1, 0)))),
            lambda: (rng.choice((b"ABCD", b"abCd", b"a\0b!")), rng.randbytes(9)),
            lambda: (b"PLTE", rng.randbytes(rng.choice((6, 7, 0)))),
            lambda: (b"tRNS", rng.randbytes(rng.choice((2, 6, 0, 300)))),
        )
    )()


def _gif(rng: random.Random) -> bytes:
    palette = _image(rng, "P")
    still = encode(palette, "GIF", interlace=rng.choice((0, 1)))
    parts = _gif_parts(still)
    frame = next(part for part in parts if part.startswith(b","))
    width, height = struct.unpack("<HH", frame[5:9])
    screen = (width, height)
    if rng.random() < 0.3:
        screen = (rng.randint(1, 60), rng.randint(1, 60))
    elif rng.random() < 0.02:
        screen = rng.choice(((8000, 8000), (8001, 8000), (65535, 65535), (0, 0), (16, 60000)))
    content = parts[0][:6] + struct.pack("<HH", *screen) + parts[0][10:]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        for _ in range(rng.choice((0, 1, 1, 2))):
            flags = rng.choice((0, 1, 4, 5, 8, 9, 12, 13, 2))
            color = rng.choice((0, 1, 3, 255))
            content += b"!\xf9\4" + bytes([flags, rng.randrange(256), 0, color, 0])
        content += rng.choice((b"", b"", b"!\xfe\3abc\0", b"!\xff\x0bNETSCAPE2.0\3\1\0\0\0"))
        offset = (0, 0) if rng.random() < 0.6 else (rng.randrange(30), rng.randrange(30))
        local = rng.random() < 0.2
        flags = bytes([frame[9] & 0x40 | (0x80 | 7 if local else 0)])
        table = rng.randbytes(768) if local else b""
        content += b"," + struct.pack("<HH", *offset) + frame[5:9] + flags + table + frame[10:]
    return content + b";"


def _gif_parts(data: bytes) -> list[bytes]:
    """Header with its colors, then each extension and frame, and the trailer."""
    at = 13 + (3 * 2 ** (data[10] % 8 + 1) if len(data) > 10 and data[10] & 128 else 0)
    parts = [data[:at]]
    while at + 10 < len(data) and data[at] in b"!,":
        start = at
        at += 2
        if data[start] == 0x2C:
            at = start + 11 + (3 * 2 ** (data[start + 9] % 8 + 1) if data[start + 9] & 128 else 0)
        while at < len(data) and data[at]:
            at += data[at] + 1
        at += 1
        parts.append(data[start:at])
    return [*parts, data[at:]]


def _webp(rng: random.Random) -> bytes:
    mode = rng.choice(("RGB", "RGBA"))
    options = {"lossless": rng.random() < 0.5, "quality": rng.choice((0, 50, 100)), "method": 0}
    options["exact"] = rng.random() < 0.5
    for name, made in (("exif", _exif), ("xmp", _xmp), ("icc_profile", lambda _: b"odd")):
        if rng.random() < 0.25:
            options[name] = made(rng)
    image = _image(rng, mode)
    if rng.random() < 0.4 and image.width < _LARGE[0]:
        frames = [image.rotate(angle) for angle in (90, 180)]
        frames = [_patched(frame, image, rng) for frame in frames]
        options |= {"save_all": True, "append_images": frames, "minimize_size": rng.random() < 0.5}
        options["background"] = tuple(rng.randrange(256) for _ in range(4))
    data = encode(image, "WEBP", **options)
    if data[12:16] == b"VP8X" and rng.random() < 0.4:  # other flags: alpha, animation, metadata
        data = (
            data[:20] + bytes([data[20] ^ rng.choice((0x10, 0x02, 0x08, 0x04, 0x12))]) + data[21:]
        )
    at = data.find(b"ANMF")
    if at > 0 and rng.random() < 0.5:  # the first frame elsewhere, perhaps off the canvas
        place = b"".join(rng.choice((0, 1, 3, 40)).to_bytes(3, "little") for _ in "xy")
        data = data[: at + 8] + place + data[at + 14 :]
        if rng.random() < 0.5:
            size = b"".join(rng.choice((20, 50, 79)).to_bytes(3, "little") for _ in "wh")
            data = data[:24] + size + data[30:]
    return data


def _patched(frame: Image.Image, image: Image.Image, rng: random.Random) -> Image.Image:
    """A frame that differs from the first in a corner alone is stored as that corner."""
    if rng.random() < 0.5:
        return frame
    patched = image.copy()
    patched.paste(frame.crop((0, 0, 5, 5)), (0, 0))
    return patched


def _bmp(rng: random.Random) -> bytes:
    bits = rng.choice((1, 4, 8, 16, 24, 24, 24, 32))
    width, height = rng.randint(1, 30), rng.randint(1, 30)
    compression = rng.choice((0, 0, 0, {8: 1, 4: 2, 16: 3, 32: 3}.get(bits, 0)))
    size = rng.choice((40, 40, 40, 12, 56, 108, 124))
    palette = rng.choice((2**bits, 2, 0)) if bits <= 8 else 0
    pixels = b"".join(rng.randbytes((width * bits + 31) // 32 * 4) for _ in range(height))
    if compression in (1, 2):
        row = bytes([width, rng.randrange(256)])
        pixels = (row + b"\0\0") * height + b"\0\1"
    table = rng.randbytes((palette or 2**bits) * (3 if size == 12 else 4)) if bits <= 8 else b""
    masks = (
        struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0) if compression == 3 and size == 40 else b""
    )
    if size == 12:
        header = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        signed = height * rng.choice((1, 1, 1, -1))
        fields = (size, width, signed, 1, bits, compression, len(pixels), 0, 0, palette, 0)
        header = struct.pack("<IiiHHIIiiII", *fields)
        header += struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, rng.choice((0, 0xFF000000)))
        header = header[:size].ljust(size, b"\0") if size > 40 else header[:40]
    start = 14 + len(header) + len(masks) + len(table)
    head = b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start)
    return head + header + masks + table + pixels


def _tiff(rng: random.Random) -> bytes:
    mode = rng.choice(
        ("1", "L", "LA", "P", "RGB", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "YCbCr")
    )
    codecs = {"1": ("raw", "group3", "group4", "packbits"), "RGB": ("jpeg", "tiff_lzw", "raw")}
    codec = rng.choice(codecs.get(mode, ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits")))
    options = {"tiffinfo": {274: rng.randint(1, 8)}} if rng.random() < 0.3 else {}
    image = _image(rng, mode, large=codec != "raw")
    if rng.random() < 0.2:
        options |= {"save_all": True, "append_images": [_image(rng, mode)]}
    if codec == "raw":
        return encode(image, "TIFF", **options)
    return encode(image, "TIFF", compression=codec, **options)


def _chunks(data: bytes, start: int, big: bool, around: int) -> list[bytes]:
    """Header, then the chunks of a PNG (with checksums) or of a RIFF file."""
    parts, at = [data[:start]], start
    while at + 8 <= len(data):
        size = struct.unpack_from(">I" if big else "<I", data, at + (0 if big else 4))[0]
        end = at + around + size + (0 if big else size % 2)
        parts.append(data[at:end])
        at = end
    return parts


def _jpeg_parts(data: bytes) -> list[bytes]:
    """SOI, then each segment; with that of a scan its data."""
    parts, at = [data[:2]], 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        if data[at + 1] == 0xDA:
            while end + 1 < len(data) and (data[end] != 0xFF or data[end + 1] in _IN_SCAN):
                end += 1
        parts.append(data[at:end])
        at = end
    return [*parts, data[at:]]


def is_plain_jpeg(data: bytes) -> bool:
    """Tells whether a JPEG has what segments are made of alone, and ends as one."""
    *parts, end = _jpeg_parts(data)
    kinds = [part[1] for part in parts[1:] if part[0] == 0xFF]
    whole = len(kinds) == len(parts) - 1 and 0xDA in kinds and end.startswith(b"\xff\xd9")
    short = any(part[1] in (0xE0, 0xEE) and len(part) < 16 for part in parts[1:])
    return whole and not short and not set(kinds) & {0, 1, *range(0xD0, 0xDA)}


_IN_SCAN = (0, *range(0xD0, 0xD8))
_SPLIT: dict[str, Callable[[bytes], list[bytes]]] = {
    "jpeg": _jpeg_parts,
    "png": lambda data: _chunks(data, 8, big=True, around=12),
    "webp": lambda data: _chunks(data, 12, big=False, around=8),
    "gif": _gif_parts,
}
_MAKERS = {"jpeg": _jpeg, "png": _png, "gif": _gif, "webp": _webp, "bmp": _bmp, "tiff": _tiff}


def _rearranged(kind: str, data: bytes, rng: random.Random) -> bytes:
    """A file with a part left out, doubled, moved, taken from another file or changed inside."""
    parts = _SPLIT[kind](data)
    others = _SPLIT[kind](_MAKERS[kind](rng))
    for _ in range(rng.choice((1, 1, 2))):
        at, to = (rng.randrange(len(parts)) for _ in "at")
        way = rng.choice(("drop", "double", "move", "other", "replace", "inside", "inside", "cut"))
        if way == "drop" and len(parts) > 1:
            del parts[at]
        elif way == "double":
            parts.insert(to, parts[at])
        elif way == "move":
            parts.insert(to, parts.pop(at))
        elif way == "other":
            parts.insert(to, rng.choice(others))
        elif way == "replace":
            parts[at] = rng.choice(others)
        else:
            parts[at] = _changed_inside(kind, parts[at], way, rng)
    joined = b"".join(parts)
    if kind == "webp" and rng.random() < 0.9:
        joined = joined[:4] + struct.pack("<I", max(len(joined) - 8, 0)) + joined[8:]
    return joined


def _changed_inside(kind: str, part: bytes, way: str, rng: random.Random) -> bytes:
    """A part with other content, and as a rule with the length and checksum of that."""
    head = {"gif": 0, "jpeg": 4}.get(kind, 8)
    content = part[head : -4 if kind == "png" else None]
    if not content:
        return part
    content = content[: rng.randrange(len(content))] if way == "cut" else _field(content, rng)
    if kind == "gif" or len(part) < head or rng.random() < 0.1:
        return part[:head] + content
    if kind == "png":
        return png_chunk(part[4:8], content)
    if kind == "webp":
        return part[:4] + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
    if part[1] in (0xDA, 0xD8, 0xD9):
        return part[:4] + content
    return part[:2] + struct.pack(">H", len(content) + 2) + content


def _field(content: bytes, rng: random.Random, most: int = 48) -> bytes:
    """Another number of one, two or four bytes near the begin."""
    size = rng.choice((1, 1, 2, 4))
    at = rng.randrange(max(min(len(content), most) - size + 1, 1))
    number = rng.choice((*_NUMBERS, rng.randrange(2 ** (8 * size)))) % 2 ** (8 * size)
    number = number.to_bytes(size, rng.choice(("little", "big")))
    if rng.random() < 0.2:
        number = bytes([content[at] ^ 1 << rng.randrange(8)])
    return content[:at] + number + content[at + len(number) :]


def _field_changed(kind: str, data: bytes, rng: random.Random) -> bytes:
    """A file with another number in its header; a PNG's with its checksum."""
    if kind == "png":
        return data[:8] + png_chunk(b"IHDR", _field(data[16:29], rng)[:13]) + data[33:]
    at = 0
    if kind == "tiff" and data[:2] == b"II":
        at = struct.unpack_from("<I", data, 4)[0]
    if kind == "jpeg":
        at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"), 0)
    return data[:at] + _field(data[at:], rng, 200 if kind == "tiff" else 48)
