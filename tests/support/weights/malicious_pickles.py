"""Malicious pickles: foreign calls, allowed names misused, odd opcodes, bombs, bad tensors."""

import os
import pickle
import struct
from pathlib import Path

from tests.support.weights import torch_writer as torch
from tests.support.weights.torch_writer import Vectors

PROTOCOLS = range(6)
FOREIGN_GLOBALS = tuple(
    tuple(each.split(":"))
    for line in (
        "os:system posix:system nt:system subprocess:Popen builtins:eval builtins:exec",
        "__builtin__:getattr runpy:_run_code pydoc:locate importlib:import_module torch:load",
        "torch.hub:load torch.serialization:load torch.storage:_load_from_bytes",
        "torch.jit._script:load pickle:loads numpy:load numpy.core.multiarray:_reconstruct",
        "ctypes:CDLL urllib.request:urlopen functools:partial operator:attrgetter",
        "copyreg:_reconstructor collections:defaultdict collections.abc:OrderedDict",
        "collections:OrderedDict.__init__.__globals__ collections:\uff2frderedDict",
        "torch._utils:_rebuild_tensor_v2.__globals__ torch:FloatStorage.from_file",
        "argparse:Namespace.__init__ argparse:ArgumentParser",
    )
    for each in line.split()
) + (("collections", "OrderedDict "),)


def foreign_calls(canary: Path) -> Vectors:
    """Calls that would make the file `canary`, spelled in every protocol and by every opcode."""
    argument = torch.text(f"touch {canary}")
    for module, name in FOREIGN_GLOBALS:
        for protocol in PROTOCOLS:
            function = torch.named(module, name, protocol)
            pickled = torch.whole(torch.call(function, argument), protocol)
            yield f"reduce-{module}.{ascii(name)}-p{protocol}", pickled
    for protocol in PROTOCOLS:
        system = torch.named("os", "system", protocol)
        spellings = {
            "newobj": system + torch.group(argument) + b"\x81",
            "newobj-ex": system + torch.group(argument) + b"}\x92",
            "obj": b"(" + system + argument + b"o",
            "inst": b"(" + argument + b"ios\nsystem\n",
            "build": system + b"}b",
            "bare": system,
            "stack-global-of-get": argument + b"q\x010os\nsystem\n" + b"h\x01h\x01\x93",
            "key": b"}" + torch.call(system, argument) + b"Ns",
        }
        for name, body in spellings.items():
            yield f"{name}-p{protocol}", torch.whole(body, protocol)
        yield f"real-p{protocol}", pickle.dumps({"state_dict": _Payload(canary)}, protocol)


class _Payload:
    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


_STORE = torch.storage("0", 4)
_ONE = torch.tensor(_STORE, [4], [1])
_REBUILD = torch.named("torch._utils", "_rebuild_tensor_v2")
_ORDERED = torch.named("collections", "OrderedDict")
_NAMESPACE = torch.named("argparse", "Namespace")
_EMPTY_NAMESPACE = _NAMESPACE + b")\x81"
_PARAMETER = torch.named("torch._utils", "_rebuild_parameter")
_DTYPE = torch.named("numpy", "dtype")
_SCALAR = torch.named("numpy.core.multiarray", "scalar")
_SIZE = torch.named("torch", "Size")
_ENCODE = torch.named("_codecs", "encode")
_HOOKS = torch.call(_ORDERED)
_CONJUGATE = torch.mapping({"conj": b"\x88"})
_PLAIN = [torch.number(0), torch.numbers([4]), torch.numbers([1]), b"\x89"]
_FLOAT64 = torch.call(_DTYPE, torch.text("f8"), b"\x89", b"\x88")


MISUSES = {  # allowed names, called or filled as torch never does
    "ordered-dict-of-list": torch.call(_ORDERED, b"]"),
    "ordered-dict-new": _ORDERED + b")\x81",
    "ordered-dict-with-state": torch.call(_ORDERED) + b"]b",
    "namespace-called": torch.call(_NAMESPACE),
    "namespace-with-arguments": _NAMESPACE + torch.group(_ONE) + b"\x81",
    "namespace-odd-names": _EMPTY_NAMESPACE + b"}" + torch.number(1) + b"Nsb",
    "namespace-state-tuple": _EMPTY_NAMESPACE + torch.group(b"N", b"N") + b"b",
    "namespace-twice": _EMPTY_NAMESPACE + 2 * (torch.mapping({"a": b"N"}) + b"b"),
    "namespace-items": _EMPTY_NAMESPACE + torch.text("a") + b"Ns",
    "list-with-state": b"]}b",
    "dict-with-state": b"}}b",
    "tensor-with-state": _ONE + b"}b",
    "tensor-of-nothing": torch.call(_REBUILD),
    "tensor-few-arguments": torch.call(_REBUILD, _STORE, *_PLAIN),
    "tensor-many-arguments": torch.call(_REBUILD, _STORE, *_PLAIN, _HOOKS, b"N", b"N"),
    "tensor-of-text": torch.call(_REBUILD, torch.text("0"), *_PLAIN, _HOOKS),
    "tensor-of-tensor": torch.call(_REBUILD, _ONE, *_PLAIN, _HOOKS),
    "tensor-with-hooks": torch.call(_REBUILD, _STORE, *_PLAIN, torch.mapping({"a": b"N"})),
    "tensor-hooks-tensor": torch.call(_REBUILD, _STORE, *_PLAIN, _ONE),
    "tensor-conjugate": torch.call(_REBUILD, _STORE, *_PLAIN, _HOOKS, _CONJUGATE),
    "tensor-grad-number": torch.call(_REBUILD, _STORE, *_PLAIN[:3], torch.number(1), _HOOKS),
    "parameter-of-dict": torch.call(_PARAMETER, b"}", b"\x89", _HOOKS),
    "parameter-of-two": torch.call(_PARAMETER, _ONE, b"\x89"),
    "size-of-text": torch.call(_SIZE, torch.text("ab")),
    "size-of-tensors": torch.call(_SIZE, torch.group(_ONE)),
    "dtype-object": torch.call(_DTYPE, torch.text("O8"), b"\x89", b"\x88"),
    "dtype-fields": torch.call(_DTYPE, b"]", b"\x89", b"\x88"),
    "dtype-big-endian": _FLOAT64 + torch.group(torch.number(3), torch.text(">")) + b"b",
    "dtype-bare": _FLOAT64,
    "scalar-short": torch.call(_SCALAR, _FLOAT64, b"C\x04abcd"),
    "scalar-of-text": torch.call(_SCALAR, _FLOAT64, torch.text("abcdefgh")),
    "scalar-of-name": torch.call(_SCALAR, _DTYPE, b"C\x08abcdefgh"),
    "scalar-of-tensor": torch.call(_SCALAR, _ONE, _ONE),
    "encode-rot13": torch.call(_ENCODE, torch.text("a"), torch.text("rot13")),
    "encode-tensor": torch.call(_ENCODE, _ONE, _ONE),
    "encode-wide": torch.call(_ENCODE, torch.text("\u6f22"), torch.text("latin1")),
    "storage-called": torch.call(torch.named("torch", "FloatStorage"), torch.number(4)),
    "storage-bare": _STORE,
    "tensor-called": torch.call(_ONE, _ONE),
    "name-bare": torch.group(_ORDERED),
    "reduce-of-list": _ORDERED + b"]R",
    "append-to-tuple": b")Na",
    "append-to-tensor": _ONE + b"Na",
    "items-of-list": b"]" + torch.text("a") + b"Ns",
    "items-of-tensor": _ONE + torch.number(0) + torch.number(1) + b"s",
    "items-odd": b"}(" + torch.text("a") + b"u",
    "key-tuple": b"}" + torch.group(b"N") + b"Ns",
    "key-float": b"}G" + struct.pack(">d", 1.0) + b"Ns",
    "key-tensor": b"}" + _ONE + b"Ns",
    "key-true": b"}\x88Ns",
    "key-twice": b"}(" + 2 * (torch.text("a") + b"N") + b"u",
}

STRANGE_OPCODES = {  # that torch.save never writes, and pickles that break their own rules
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


_STEPS = [(index, index, index + 1) for index in range(60)]
_DOUBLING = b"Nq\x00" + b"".join(b"h%ch%c\x86q%c" % step for step in _STEPS)
_LISTS = b"]q\x00" + b"".join(b"](h%ch%ceq%c" % step for step in _STEPS)
_COLLISIONS = b"".join(torch.number((index << 61) - index + 7) + b"N" for index in range(1, 20_000))
_DEEP = 20_000


def _again(times: int, function: bytes, arguments: bytes, call: bytes = b"h\x01h\x02R") -> bytes:
    """One call repeated on noted values: a few bytes a call, whatever the values hold."""
    return b"(" + function + b"q\x01" + arguments + b"q\x02" + times * call + b"t"


_LONG_TEXT = torch.group(torch.text("a" * 50_000), torch.text("latin1"))
_MANY_NAMES = torch.mapping({str(index): b"N" for index in range(2_000)})
_SCALAR_VIEW = torch.group(_STORE, torch.number(0), b")", b")", b"\x89", b"N")
_LARGE_VIEW = [_STORE, torch.number(0), torch.numbers([1 << 18]), torch.numbers([0]), b"\x89N"]
BOMBS = {  # small pickles that would take much memory, time or stack
    "encode-again": _again(9_000, _ENCODE, _LONG_TEXT),
    "size-again": _again(7_000, _SIZE, b"(" + 30_000 * b"K\x01" + b"t\x85"),
    "namespace-again": _again(10_000, _NAMESPACE, _MANY_NAMES, b"h\x01)\x81h\x02b"),
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
    "deep-namespace": 70 * (_EMPTY_NAMESPACE + b"}" + torch.text("a")) + b"N" + 70 * b"sb",
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
    "self-namespace": _EMPTY_NAMESPACE + b"q\x00}" + torch.text("a") + b"h\x00sb",
    "colliding-keys": b"}(" + _COLLISIONS + b"u",
    "many-tensors": _again(100_000, _REBUILD, _SCALAR_VIEW),
    "many-large-views": _again(100, _REBUILD, torch.group(*_LARGE_VIEW)),
}

_HUGE = 2**60
BAD_MEASURES = {  # shape, strides and offset of a tensor in a storage of four elements
    "offset-negative": ([2], [1], -1),
    "offset-outside": ([2], [1], 3),
    "offset-huge": ([2], [1], 2**70),
    "stride-negative": ([2], [-1], 3),
    "stride-huge": ([2], [_HUGE], 0),
    "shape-negative": ([-2], [1], 0),
    "shape-outside": ([5], [1], 0),
    "shape-huge": ([_HUGE], [1], 0),
    "shape-beyond-int64": ([2**64], [1], 0),
    "shape-product": ([2**20, 2**20, 2**20], [1, 1, 1], 0),
    "zero-strides": ([_HUGE], [0], 0),
    "zero-strides-product": ([2**30, 2**30], [0, 0], 0),
    "zero-strides-large": ([2**24], [0], 0),
    "empty-huge": ([0, 2**39, 2**39], [1, 1, 1], 0),
    "empty-offset": ([0], [1], 5),
    "ranks-differ": ([2, 2], [1], 0),
    "rank-33": ([1] * 33, [1] * 33, 0),
    "rank-10000": ([1] * 10_000, [1] * 10_000, 0),
}
ODD_MEASURES = {  # the opcodes of an offset, a shape and strides
    "offset-true": [b"\x88", torch.numbers([1]), torch.numbers([1])],
    "offset-float": [b"G" + bytes(8), torch.numbers([1]), torch.numbers([1])],
    "shape-list": [torch.number(0), b"]", b")"],
    "shape-true": [torch.number(0), torch.group(b"\x88"), torch.numbers([1])],
    "strides-none": [torch.number(0), torch.numbers([1]), b"N"],
}
BAD_TENSORS = {name: torch.tensor(_STORE, *measures) for name, measures in BAD_MEASURES.items()}
for _name, _measures in ODD_MEASURES.items():
    BAD_TENSORS[_name] = torch.call(_REBUILD, _STORE, *_measures, b"\x89", _HOOKS)


def _one(key: str, numel: int, kind: str = "FloatStorage") -> bytes:
    return torch.tensor(torch.storage(key, numel, kind), [1], [1])


def _persistent(kind: bytes, *more: bytes) -> bytes:
    """The storage "0" of four elements."""
    fields = [torch.text("storage"), kind, torch.text("0"), torch.text("cpu"), torch.number(4)]
    return torch.group(*fields, *more) + b"Q"


_VIEW = torch.group(torch.text("1"), torch.number(0), torch.number(4))
BAD_STORAGES = {
    "longer": _one("0", 5),
    "shorter": _one("0", 3),
    "negative": _one("0", -1),
    "huge": _one("0", 2**62),
    "beyond-int64": _one("0", 2**64),
    "other-type": _one("0", 4, "DoubleStorage"),
    "half": _one("0", 4, "HalfStorage"),
    "missing": _one("1", 4),
    "path": _one("../../etc/passwd", 4),
    "path-of-pickle": _one("../data.pkl", 4),
    "not-ascii-digits": _one("\u0660", 4),
    "long-key": _one("0" * 30, 4),
    "two-sizes": torch.group(_one("0", 4), _one("0", 3)),
    "two-types": torch.group(_one("0", 4), _one("0", 4, "IntStorage")),
    "untyped": torch.group(torch.text("storage"), torch.named("torch", "UntypedStorage")),
    "kind-text": _persistent(torch.text("FloatStorage")),
    "view": _persistent(torch.named("torch", "FloatStorage"), _VIEW),
    "many": torch.group(*(torch.storage(str(key), 0) + b"\x85" for key in range(20_500))),
}
for _name in ("CharStorage", "ComplexFloatStorage", "QInt8Storage", "QUInt8Storage"):
    BAD_STORAGES[f"type-{_name}"] = _one("0", 4, _name)
for _name in ("sparse_tensor", "qtensor", "tensor_v3", "nested_tensor", "tensor"):
    BAD_STORAGES[f"rebuild-{_name}"] = torch.call(torch.named("torch._utils", f"_rebuild_{_name}"))


def pickles(canary: Path) -> Vectors:
    """Every malicious pickle; a payload that ran would leave the file `canary`."""
    yield from foreign_calls(canary)
    tables = {"misuse": MISUSES, "opcode": STRANGE_OPCODES, "bomb": BOMBS}
    for kind, bodies in {**tables, "tensor": BAD_TENSORS, "storage": BAD_STORAGES}.items():
        for name, body in bodies.items():
            yield f"{kind}-{name}", torch.whole(body)
    yield "opcode-no-stop", torch.whole(b"N")[:-1]
    yield "opcode-after-stop", torch.whole(b"N") + b"cos\nsystem\n."
    yield "opcode-empty", b""
