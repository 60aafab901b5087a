"""Pickles that break the format's rules, or that are small and take much."""

import struct

from tests.support.weights import torch_writer as torch
from tests.support.weights.both_formats import Vectors, in_both_formats, in_either_format

STRANGE_OPCODES = {
    "ext1": b"\x82\x01",
    "ext2": b"\x83\x01\x00",
    "ext4": b"\x84\x01\x00\x00\x00",
    "persid": b"Pstorage\n",
    "dup": b"N2\x86",
    "pop": b"NN0",
    "pop-mark": b"N(N1",
    "next-buffer": b"\x97",
    "readonly-buffer": b"N\x98",
    "bytearray": b"\x96" + struct.pack("<Q", 1) + b"a",
    "empty-set": b"\x8f",
    "frozenset": b"(\x91",
    "string": b"S'a'\n",
    "long4": b"\x8b" + struct.pack("<i", 2**31 - 1),
    "long4-negative": b"\x8b" + struct.pack("<i", -1),
    "unicode8": b"\x8d" + struct.pack("<Q", 2**63),
    "unicode-length": b"X\xff\xff\xff\xffabc",
    "unicode-invalid": b"X\x02\x00\x00\x00\xff\xfe",
    "unicode-surrogate": torch.text("\ud800"),
    "bytes-length": b"B\xff\xff\xff\x7fabc",
    "long1-length": b"\x8a\xffa",
    "frame-length": b"\x95" + struct.pack("<Q", 2**62) + b"N",
    "protocol-9": b"\x80\x09N",
    "decimal-long": b"I" + b"9" * 900 + b"\n",
    "decimal-endless": b"I" + b"9" * 5000 + b"\n",
    "decimal-underscore": b"I1_0\n",
    "decimal-text": b"Iabc\n",
    "global-endless": b"c" + b"a" * 5000,
    "global-not-utf8": b"c\xff\n\xfe\n",
    "stack-global-numbers": b"NN\x93",
    "persistent-none": b"NQ",
    "persistent-text": torch.text("storage") + b"Q",
    "persistent-module": torch.group(torch.text("module"), b"N", b"N", b"N", b"N") + b"Q",
    "persistent-short": torch.group(torch.text("storage"), b"N") + b"Q",
    "underflow-reduce": b"R",
    "underflow-tuple": b"N\x87",
    "underflow-append": b"Na",
    "underflow-put": b"q\x00N",
    "unmarked-tuple": b"Nt",
    "unmarked-items": b"}u",
    "memo-missing": b"h\x07",
    "memo-twice": b"Nq\x00q\x00",
    "two-values": b"NN",
    "no-value": b"",
    "open-mark": b"(N",
    "byte-ff": b"\xff",
}


def strange_opcodes() -> Vectors:
    """Opcodes that torch.save never writes, and pickles that break their own rules."""
    for name, body in STRANGE_OPCODES.items():
        yield from in_both_formats(f"opcode-{name}", torch.whole(body))
    yield from in_both_formats("opcode-no-stop", torch.whole(b"N")[:-1])
    yield from in_both_formats("opcode-after-stop", torch.whole(b"N") + b"cos\nsystem\n.")
    yield from in_both_formats("opcode-empty", b"")


_ORDERED = torch.named("collections", "OrderedDict")
_DOUBLING = b"Nq\x00" + b"".join(
    b"h%ch%c\x86q%c" % (index, index, index + 1) for index in range(60)
)
_LISTS = b"]q\x00" + b"".join(b"](h%ch%ceq%c" % (index, index, index + 1) for index in range(60))
_COLLISIONS = b"".join(torch.number((index << 61) - index + 7) + b"N" for index in range(1, 20_000))
_DEEP = 20_000
_NAMESPACE = torch.named("argparse", "Namespace")
# Each repeats one call on noted values: a few bytes a call, whatever the values hold.
_REPEATED_CALLS = {
    "encode-again": b"("
    + torch.named("_codecs", "encode")
    + b"q\x01"
    + torch.group(torch.text("a" * 50_000), torch.text("latin1"))
    + b"q\x02"
    + 9_000 * b"h\x01h\x02R"
    + b"t",
    "size-again": b"("
    + torch.named("torch", "Size")
    + b"q\x01("
    + 30_000 * b"K\x01"
    + b"t\x85q\x02"
    + 7_000 * b"h\x01h\x02R"
    + b"t",
    "namespace-again": b"("
    + _NAMESPACE
    + b"q\x01"
    + torch.mapping({str(index): b"N" for index in range(2_000)})
    + b"q\x02"
    + 10_000 * b"h\x01)\x81h\x02b"
    + b"t",
}
BOMBS = {
    **_REPEATED_CALLS,
    "memo-index": b"Nr\x00\x00\x00\x10",
    "memo-index-highest": b"Nr\xff\xff\xff\xff",
    "doubling-value": b"](" + _DOUBLING + b"e",
    "doubling-key": b"}(" + _DOUBLING + b"tNs",
    "doubling-lists": b"](" + _LISTS + b"e",
    "doubling-dup": b"N" + 200 * b"2\x86",
    "deep-tuple": b"N" + _DEEP * b"\x85",
    "deep-tuple-key": b"}N" + _DEEP * b"\x85" + b"Ns",
    "deep-million": b"N" + 1_000_000 * b"\x85",
    "deep-list": _DEEP * b"]" + (_DEEP - 1) * b"a",
    "deep-list-by-65": 66 * b"]" + 65 * b"a",
    "deep-dict": b"}" + torch.text("a") + b"N" + 300 * b"\x85" + b"s",
    "deep-namespace": 70 * (torch.named("argparse", "Namespace") + b")\x81}" + torch.text("a"))
    + b"N"
    + 70 * b"sb",
    "marks": _DEEP * b"(",
    "marks-4-MiB": 4_000_000 * b"(",
    "nones": 4_000_000 * b"N",
    "lists": b"](" + 199_990 * b"]" + _ORDERED + b"e",
    "dicts": b"(" + 49_000 * b"}K\x00Ns" + _ORDERED + b"t",
    "ordered-dicts": b"(" + _ORDERED + b"q\x00" + 60_000 * b"h\x00)R" + b"t",
    "long-numbers": b"(" + 15_000 * (b"\x8a\xff" + 255 * b"\x7f") + _ORDERED + b"t",
    "wide-text": b"](" + torch.text("a" * 4_000_000 + "\U0001f600") + _ORDERED + b"e",
    "long-text-65": b"](" + 65 * torch.text("\U0001f600" + "a" * 60_000) + b"e\xff",
    "self-list": b"]q\x00h\x00a",
    "self-dict": b"}q\x00" + torch.text("a") + b"h\x00s",
    "self-tuple-through-list": b"]q\x00h\x00\x85a",
    "self-namespace": torch.named("argparse", "Namespace")
    + b")\x81q\x00}"
    + torch.text("a")
    + b"h\x00sb",
    "colliding-keys": b"}(" + _COLLISIONS + b"u",
    "many-tensors": b"("
    + torch.storage("0", 4)
    + b"q\x00"
    + torch.group(b"h\x00", torch.number(0), b")", b")", b"\x89", b"N")
    + b"q\x01"
    + torch.named("torch._utils", "_rebuild_tensor_v2")
    + b"q\x02"
    + 100_000 * b"h\x02h\x01R"
    + b"t",
    "many-large-views": b"("
    + torch.group(torch.storage("0", 4), *[torch.number(0), torch.numbers([1 << 18])])[:-1]
    + torch.numbers([0])
    + b"\x89Nt"
    + b"q\x01"
    + torch.named("torch._utils", "_rebuild_tensor_v2")
    + b"q\x02"
    + 100 * b"h\x02h\x01R"
    + b"t",
}


def bombs() -> Vectors:
    """Small pickles that would take much memory, time or stack."""
    for name, body in BOMBS.items():
        yield from in_either_format(f"bomb-{name}", torch.whole(body))
