"""Image files of every kind, made on the spot."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Random RGB: the hardest thing to resize alike."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def ramp(height: int = 60, width: int = 80) -> np.ndarray:
    """Smooth RGB in which no two corners are alike."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 3, y * 4, (x + y) * 2], axis=-1).astype(np.uint8)


def resized_by_pillow(image: np.ndarray, target: tuple[int, int], bicubic: bool) -> np.ndarray:
    """An axis at a time, as Pillow's newer versions begin with rows for some sizes."""
    kind = Image.Resampling.BICUBIC if bicubic else Image.Resampling.BILINEAR
    across = Image.fromarray(image).resize((target[1], len(image)), kind)
    return np.asarray(across.resize((target[1], target[0]), kind))


def encode(image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    pillow_image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    pillow_image.save(buffer, kind, **options)
    return buffer.getvalue()


def damaged(data: bytes, rng: np.random.Generator, most: int, places=(0, None)) -> bytes:
    """The data with 1 to `most` bytes between two places replaced."""
    changed = bytearray(data)
    for at in rng.integers(places[0], places[1] or len(data), rng.integers(1, most + 1)):
        changed[at] = rng.integers(0, 256)
    return bytes(changed)


def turned(orientation: int) -> bytes:
    return encode(ramp(), "JPEG", exif=exif_block("<", value=orientation))


def readable_kinds() -> dict[str, bytes]:
    """Images that every path reads, and must read alike."""
    rgb = Image.fromarray(ramp())
    gray, palette = rgb.convert("L"), rgb.quantize(64)
    alpha = Image.fromarray(noise(60, 80)[..., 0])
    rgba = Image.merge("RGBA", (*rgb.split(), alpha))
    sixteen = Image.fromarray((np.arange(4800).reshape(60, 80) * 13).astype(np.uint16))
    animation = {"save_all": True, "append_images": [rgb.rotate(90)]}
    bmp, opaque = encode(ramp()[::-1], "BMP"), encode(rgb, "WEBP", lossless=True, **animation)
    kinds = {
        "jpeg": encode(rgb, "JPEG", quality=90),
        "jpeg_subsampled": encode(noise(61, 83), "JPEG", quality=70, subsampling=2),
        "jpeg_progressive": encode(rgb, "JPEG", progressive=True),
        "jpeg_gray": encode(gray, "JPEG"),
        "jpeg_cmyk": encode(rgb.convert("CMYK"), "JPEG"),
        "png": encode(rgb, "PNG"),
        "png_gray": encode(gray, "PNG"),
        "png_one_bit": encode(rgb.convert("1"), "PNG"),
        "png_sixteen_bit": encode(sixteen, "PNG"),
        "png_palette": encode(palette, "PNG"),
        "png_palette_transparent": encode(palette, "PNG", transparency=3),
        "png_alpha": encode(rgba, "PNG"),
        "png_gray_alpha": encode(Image.merge("LA", (gray, alpha)), "PNG"),
        "webp": encode(rgb, "WEBP"),
        "webp_lossless": encode(rgb, "WEBP", lossless=True),
        "webp_alpha": encode(rgba, "WEBP", lossless=True, exact=True),
        "webp_animated": opaque,
        "webp_animated_opaque": opaque[:20] + b"\x02" + opaque[21:],  # no flag of alpha
        "gif": encode(palette, "GIF"),
        "gif_transparent": encode(palette, "GIF", transparency=3),
        "gif_off_its_screen": moved_gif(encode(palette, "GIF"), (90, 50)),
        "gif_transparent_off_its_screen": moved_gif(encode(palette, "GIF", transparency=3)),
        "gif_animated": encode(palette, "GIF", save_all=True, append_images=[palette.rotate(90)]),
        "bmp": encode(rgb, "BMP"),
        "bmp_from_the_top": bmp[:22] + struct.pack("<i", -60) + bmp[26:],  # a negative height
        "one_pixel": encode(noise(1, 1), "PNG"),
    }
    kinds |= turned_kinds()
    kinds["mpo_turned"] = encode(rgb, "MPO", exif=exif_block("<"), **animation)
    kinds |= {f"jpeg_orientation_{turn}": turned(turn) for turn in range(1, 9)}
    return kinds


def turned_kinds() -> dict[str, bytes]:
    """Images with an EXIF block beside those of JPEG, or one that does not turn them."""
    rgb = Image.fromarray(ramp())
    png, six, silent = encode(rgb, "PNG"), exif_block(">"), exif_block("<", tag=0x0113)
    xmp = b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="1"/>'
    return {
        "png_exif_turned": encode(rgb, "PNG", exif=six),
        "png_exif_after_the_image_turned": png[:-12] + png_chunk(b"eXIf", six[6:]) + png[-12:],
        "png_exif_silent": encode(rgb, "PNG", exif=silent),
        "png_no_chunk_of_exif": with_chunk(png, b"tEXt", b"Comment\0eXIf"),
        "png_xmp_upright": with_chunk(png, b"iTXt", xmp),
        "png_text_bomb": with_chunk(png, b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2 << 20))),
        "webp_exif_turned": encode(rgb, "WEBP", exif=six, icc_profile=b"odd"),
        "webp_exif_silent": encode(rgb, "WEBP", exif=silent),
        "webp_xmp_upright": encode(rgb, "WEBP", xmp=xmp[22:]),
        "jpeg_exif_silent": encode(rgb, "JPEG", exif=silent),
        "jpeg_exif_zero": encode(rgb, "JPEG", exif=exif_block("<", value=0)),
    }


def with_chunk(png: bytes, kind: bytes, data: bytes) -> bytes:
    """A PNG with another chunk after its header."""
    return png[:33] + png_chunk(kind, data) + png[33:]


def pillow_kinds() -> dict[str, bytes]:
    """Images that TensorFlow's decoders show otherwise than Pillow, refuse, or crash on."""
    rgb = Image.fromarray(ramp())
    jpeg, empty = turned(6), b"\xff\xe1\x00\x08Exif\0\0"
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>'
    xmp_segment = b"\xff\xe1" + struct.pack(">H", len(xmp) + 2) + xmp
    plain, gif = encode(rgb, "JPEG"), encode(rgb.quantize(64), "GIF")
    png, hex_exif = encode(rgb, "PNG"), exif_block("<").hex().encode()
    hidden_xmp = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp[29:])
    profile = b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n%8d\n" % 44 + hex_exif)
    return {
        "jpeg_cmyk_unmarked": without_adobe(encode(rgb.convert("CMYK"), "JPEG")),
        "jpeg_exif_after_an_empty_one_turned": jpeg[:2] + empty + jpeg[2:],
        "jpeg_two_numbers_turned": encode(rgb, "JPEG", exif=exif_block("<", count=2)),
        "jpeg_xmp_turned": plain[:2] + xmp_segment + plain[2:],
        "png_xmp_compressed_turned": with_chunk(png, b"iTXt", hidden_xmp),
        "png_profile_turned": with_chunk(png, b"zTXt", profile),
        "webp_two_numbers_turned": encode(rgb, "WEBP", exif=exif_block("<", count=2)),
        "webp_xmp_turned": encode(rgb, "WEBP", xmp=xmp[29:]),
        "gif_two_controls": gif[:205] + b"!\xf9\4\1\0\0\0\0" * 2 + gif[205:],
        "bmp_gray": encode(rgb.convert("L"), "BMP"),
        "bmp_one_bit": encode(rgb.convert("1"), "BMP"),
        "bmp_palette": encode(rgb.quantize(16), "BMP"),
        "bmp_alpha": encode(rgb.convert("RGBA"), "BMP"),
        "tiff": encode(rgb, "TIFF", compression="tiff_lzw"),
        "tiff_cmyk": encode(rgb.convert("CMYK"), "TIFF"),
        "tiff_exif_turned": encode(rgb, "TIFF", tiffinfo={274: 6}),
    }


def exif_block(
    order: str, tag: int = 0x0112, kind: int = 3, count: int = 1, value: int = 6, start: int = 8
) -> bytes:
    """An EXIF block in a byte order of `struct`, with an orientation after another entry."""
    mark = b"II" if order == "<" else b"MM"
    header = mark + struct.pack(order + "HI", 42, start)
    entries = struct.pack(order + "HHIHH", 0x010F, 3, 1, 1, 0)
    form, numbers = ("I", (value,)) if kind == 4 else ("HH", (value, 0))
    entries += struct.pack(f"{order}HHI{form}", tag, kind, count, *numbers)
    return b"Exif\0\0" + header + struct.pack(order + "H", 2) + entries


def without_adobe(jpeg: bytes) -> bytes:
    """A JPEG without its APP14 segment, the mark of Adobe's inverted colors."""
    at = jpeg.index(b"\xff\xee")
    return jpeg[:at] + jpeg[at + 2 + struct.unpack(">H", jpeg[at + 2 : at + 4])[0] :]


def unreadable_kinds() -> dict[str, bytes]:
    """Bytes that no path may take for an image."""
    jpeg, png = encode(noise(60, 80), "JPEG"), encode(noise(60, 80), "PNG")
    return {
        "empty": b"",
        "text": b"not an image at all\n" * 20,
        "html": b"<!DOCTYPE html><html><body>404</body></html>",
        "tiff_floats": encode(Image.fromarray(ramp()[..., 0] / np.float32(255)), "TIFF"),
        "png_long_row": encode(np.zeros((1, 70000), np.uint8), "PNG"),
        "png_ios": png[:8] + png_chunk(b"CgBI", b"\x50\0\x20\x06") + png[8:],
        "cut_jpeg": jpeg[: len(jpeg) // 2],
        "cut_png": png[: len(png) // 2],
        "jpeg_header_only": jpeg[:20],
        "png_without_end": png[:-12],
        **bombs(20000),
        "gif_like_a_webp": gif_like_a_webp(),
    }


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def gif_like_a_webp() -> bytes:
    """A GIF that declares 20000 x 17751 pixels and has WEBP where a WebP file says so."""
    return b"GIF89a" + struct.pack("<H", 20000) + b"WEBP" + encode(ramp(), "GIF")[12:]


def moved_gif(gif: bytes, screen: tuple[int, int] = (100, 90)) -> bytes:
    """An 80 x 60 GIF 12 pixels right of, and 7 below, the corner of a screen (width, height)."""
    at = gif.index(b"," + struct.pack("<4H", 0, 0, 80, 60)) + 1
    moved = gif[:at] + struct.pack("<HH", 12, 7) + gif[at + 4 :]
    return moved[:6] + struct.pack("<HH", *screen) + moved[10:]


def bombs(side: int) -> dict[str, bytes]:
    """Small images whose headers promise a square of that side; of the GIF, its frame alone."""
    png, jpeg, gif = (encode(ramp(), kind) for kind in ("PNG", "JPEG", "GIF"))
    header = png_chunk(b"IHDR", struct.pack(">II", side, side) + png[24:29])
    at = jpeg.index(b"\xff\xc0") + 5
    frames = (struct.pack("<4H", 0, 0, *size) for size in ((80, 60), (side, side)))
    return {
        "bomb_png": png[:8] + header + png[33:],
        "bomb_jpeg": jpeg[:at] + struct.pack(">HH", side, side) + jpeg[at + 4 :],
        "bomb_gif": gif.replace(*frames),
    }


def make_folder(root: Path, counts: dict[str, int], size: int = 12) -> Path:
    """CLASS folders below `root`, each with that many small JPEGs."""
    for number, (name, count) in enumerate(counts.items()):
        folder = root / name
        folder.mkdir(parents=True)
        for index in range(count):
            data = encode(noise(size, size + 4, seed=100 * number + index), "JPEG")
            (folder / f"{index:03d}.jpg").write_bytes(data)
    return root


def make_archive(root: Path, training: dict[str, int], evaluation: int, unlabeled: int = 0):
    """ImageNet's archive, as Kaggle hands it out; evaluation images are of each class in turn."""
    deep = root / "ILSVRC" / "Data" / "CLS-LOC"
    make_folder(deep / "train", training)
    classes, rows = list(training), ["ImageId,PredictionString"]
    for part, count in (("val", evaluation), ("test", unlabeled)):
        (deep / part).mkdir()
        for number in range(count):
            name = f"ILSVRC2012_{part}_{number:08d}"
            (deep / part / f"{name}.JPEG").write_bytes(encode(noise(8, 8), "JPEG"))
            if part == "val":
                label = classes[number % len(classes)]
                rows.append(f"{name},{label} 1 2 30 40 {classes[0]} 5 6 7 8 ")
    (root / "LOC_val_solution.csv").write_text("\n".join(rows) + "\n")
    return root
