"""Tensors that do not fit their storages, and storages that do not fit their file."""

from tests.support.weights import torch_writer as torch
from tests.support.weights.both_formats import Vectors, in_both_formats, in_either_format


def bad_tensors() -> Vectors:
    """Tensors and storages whose measures do not fit."""
    huge = 2**60
    cases = {
        "offset-negative": ([2], [1], -1),
        "offset-outside": ([2], [1], 3),
        "offset-huge": ([2], [1], 2**70),
        "stride-negative": ([2], [-1], 3),
        "stride-huge": ([2], [huge], 0),
        "shape-negative": ([-2], [1], 0),
        "shape-outside": ([5], [1], 0),
        "shape-huge": ([huge], [1], 0),
        "shape-beyond-int64": ([2**64], [1], 0),
        "shape-product": ([2**20, 2**20, 2**20], [1, 1, 1], 0),
        "zero-strides": ([huge], [0], 0),
        "zero-strides-product": ([2**30, 2**30], [0, 0], 0),
        "zero-strides-large": ([2**24], [0], 0),
        "empty-huge": ([0, 2**39, 2**39], [1, 1, 1], 0),
        "empty-offset": ([0], [1], 5),
        "ranks-differ": ([2, 2], [1], 0),
        "rank-33": ([1] * 33, [1] * 33, 0),
        "rank-10000": ([1] * 10_000, [1] * 10_000, 0),
    }
    for name, (shape, strides, offset) in cases.items():
        body = torch.tensor(torch.storage("0", 4), shape, strides, offset)
        yield from in_both_formats(f"tensor-{name}", torch.whole(body))
    rebuild = torch.named("torch._utils", "_rebuild_tensor_v2")
    store = torch.storage("0", 4)
    ends = [b"\x89", torch.call(torch.named("collections", "OrderedDict"))]
    odd = {
        "offset-true": [b"\x88", torch.numbers([1]), torch.numbers([1])],
        "offset-float": [b"G" + bytes(8), torch.numbers([1]), torch.numbers([1])],
        "shape-list": [torch.number(0), b"]", b")"],
        "shape-true": [torch.number(0), torch.group(b"\x88"), torch.numbers([1])],
        "strides-none": [torch.number(0), torch.numbers([1]), b"N"],
    }
    for name, middle in odd.items():
        body = torch.call(rebuild, store, *middle, *ends)
        yield from in_both_formats(f"tensor-{name}", torch.whole(body))
    yield from _bad_storages()


def _bad_storages() -> Vectors:
    def one(key: str, numel: int, kind: str = "FloatStorage") -> bytes:
        return torch.tensor(torch.storage(key, numel, kind), [1], [1])

    bodies = {
        "longer": one("0", 5),
        "shorter": one("0", 3),
        "negative": one("0", -1),
        "huge": one("0", 2**62),
        "beyond-int64": one("0", 2**64),
        "other-type": one("0", 4, "DoubleStorage"),
        "half": one("0", 4, "HalfStorage"),
        "missing": one("1", 4),
        "path": one("../../etc/passwd", 4),
        "path-of-pickle": one("../data.pkl", 4),
        "not-ascii-digits": one("\u0660", 4),
        "long-key": one("0" * 30, 4),
        "two-sizes": torch.group(one("0", 4), one("0", 3)),
        "two-types": torch.group(one("0", 4), one("0", 4, "IntStorage")),
        **{
            f"type-{kind}": one("0", 4, kind)
            for kind in ("CharStorage", "ComplexFloatStorage", "QInt8Storage", "QUInt8Storage")
        },
        **{
            f"rebuild-{name}": torch.call(torch.named("torch._utils", f"_rebuild_{name}"))
            for name in ("sparse_tensor", "qtensor", "tensor_v3", "nested_tensor", "tensor")
        },
        "untyped": torch.group(torch.text("storage"), torch.named("torch", "UntypedStorage")),
        "kind-text": torch.group(
            *map(torch.text, ("storage", "FloatStorage", "0", "cpu")), torch.number(4)
        )
        + b"Q",
        "view": torch.group(
            torch.text("storage"),
            torch.named("torch", "FloatStorage"),
            torch.text("0"),
            torch.text("cpu"),
            torch.number(4),
            torch.group(torch.text("1"), torch.number(0), torch.number(4)),
        )
        + b"Q",
        "many": b"("
        + b"".join(torch.storage(str(index), 0) + b"\x85" for index in range(20_500))
        + b"t",
    }
    for name, body in bodies.items():
        yield from in_either_format(f"storage-{name}", torch.whole(body))
