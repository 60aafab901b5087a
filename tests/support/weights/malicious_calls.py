"""Pickles that name or call what weights never need, or what they need in a wrong way."""

import os
import pickle
import struct
from pathlib import Path

from tests.support.weights import torch_writer as torch
from tests.support.weights.both_formats import Vectors, in_both_formats

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
            yield from in_both_formats(f"reduce-{module}.{ascii(name)}-p{protocol}", pickled)
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
            yield from in_both_formats(f"{name}-p{protocol}", torch.whole(body, protocol))
        real = pickle.dumps({"state_dict": _Payload(canary)}, protocol)
        yield from in_both_formats(f"real-p{protocol}", real)


class _Payload:
    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


_ONE = torch.tensor(torch.storage("0", 4), [4], [1])
_HOOKS = torch.call(torch.named("collections", "OrderedDict"))
_REBUILD = torch.named("torch._utils", "_rebuild_tensor_v2")
_ORDERED = torch.named("collections", "OrderedDict")
_NAMESPACE = torch.named("argparse", "Namespace")
_PARAMETER = torch.named("torch._utils", "_rebuild_parameter")
_DTYPE = torch.named("numpy", "dtype")
_SCALAR = torch.named("numpy.core.multiarray", "scalar")
_PLAIN = [torch.number(0), torch.numbers([4]), torch.numbers([1]), b"\x89"]
_STORE = torch.storage("0", 4)
_FLOAT64 = torch.call(_DTYPE, torch.text("f8"), b"\x89", b"\x88")
MISUSES = {
    "ordered-dict-of-list": torch.call(_ORDERED, b"]"),
    "ordered-dict-new": _ORDERED + b")\x81",
    "ordered-dict-with-state": torch.call(_ORDERED) + b"]b",
    "namespace-called": torch.call(_NAMESPACE),
    "namespace-with-arguments": _NAMESPACE + torch.group(_ONE) + b"\x81",
    "namespace-odd-names": _NAMESPACE + b")\x81}" + torch.number(1) + b"Nsb",
    "namespace-state-tuple": _NAMESPACE + b")\x81" + torch.group(b"N", b"N") + b"b",
    "namespace-twice": _NAMESPACE + b")\x81" + 2 * (torch.mapping({"a": b"N"}) + b"b"),
    "namespace-items": _NAMESPACE + b")\x81" + torch.text("a") + b"Ns",
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
    "tensor-conjugate": torch.call(
        _REBUILD, _STORE, *_PLAIN, _HOOKS, torch.mapping({"conj": b"\x88"})
    ),
    "tensor-grad-number": torch.call(_REBUILD, _STORE, *_PLAIN[:3], torch.number(1), _HOOKS),
    "parameter-of-dict": torch.call(_PARAMETER, b"}", b"\x89", _HOOKS),
    "parameter-of-two": torch.call(_PARAMETER, _ONE, b"\x89"),
    "size-of-text": torch.call(torch.named("torch", "Size"), torch.text("ab")),
    "size-of-tensors": torch.call(torch.named("torch", "Size"), torch.group(_ONE)),
    "dtype-object": torch.call(_DTYPE, torch.text("O8"), b"\x89", b"\x88"),
    "dtype-fields": torch.call(_DTYPE, b"]", b"\x89", b"\x88"),
    "dtype-big-endian": _FLOAT64 + torch.group(torch.number(3), torch.text(">")) + b"b",
    "dtype-bare": _FLOAT64,
    "scalar-short": torch.call(_SCALAR, _FLOAT64, b"C\x04abcd"),
    "scalar-of-text": torch.call(_SCALAR, _FLOAT64, torch.text("abcdefgh")),
    "scalar-of-name": torch.call(_SCALAR, _DTYPE, b"C\x08abcdefgh"),
    "scalar-of-tensor": torch.call(_SCALAR, _ONE, _ONE),
    "encode-rot13": torch.call(
        torch.named("_codecs", "encode"), torch.text("a"), torch.text("rot13")
    ),
    "encode-tensor": torch.call(torch.named("_codecs", "encode"), _ONE, _ONE),
    "encode-wide": torch.call(
        torch.named("_codecs", "encode"), torch.text("\u6f22"), torch.text("latin1")
    ),
    "storage-called": torch.call(torch.named("torch", "FloatStorage"), torch.number(4)),
    "storage-bare": torch.storage("0", 4),
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


def misused_names() -> Vectors:
    """Allowed names, called or filled as torch never does."""
    for name, body in MISUSES.items():
        yield from in_both_formats(f"misuse-{name}", torch.whole(body))
