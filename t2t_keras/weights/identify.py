"""The model that a state dict belongs to, read off its keys and shapes."""

import dataclasses
import itertools
import logging
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

from t2t_keras.errors import CheckpointError
from t2t_keras.variants import VARIANTS, Variant

logger = logging.getLogger(__name__)

_STEM = "tokens_to_token."
_FIRST = "blocks.0."
_BLOCK = re.compile(r"blocks\.([0-9]+)\.")
_MAX_BLOCKS = 1000


@dataclasses.dataclass(frozen=True)
class Identity:
    """The sizes that a state dict tells about its model."""

    name: str | None  # None where nobody published the sizes
    variant: Variant
    image_size: int  # side in pixels of the square images its position table is for
    classes: int | None  # None where there is no head


def shape_fits(shape: Sequence[int], expected: Sequence[int | None]) -> bool:
    """Tells whether a shape is `expected`, where None stands for any size from 1 up."""
    return len(shape) == len(expected) and all(
        size >= 1 and wanted in (None, size) for size, wanted in zip(shape, expected, strict=True)
    )


def sizes_of(expected: Sequence[int | None]) -> str:
    """Spells an expected shape for a message."""
    return ", ".join("any" if size is None else str(size) for size in expected)


@dataclasses.dataclass(frozen=True)
class _Shapes:
    """The shapes in a state dict that nobody checked yet.

    Every size of a model is read off an array of at least that size squared or times another one,
    so a small file never makes a large model.
    """

    state: Mapping[str, np.ndarray]
    source: str

    def require(self, key: str, *expected: int | None) -> Sequence[int]:
        """Returns the array's shape, which must be `expected`."""
        if key not in self.state:
            self.fail(f"has no {key!r}, without which it is no whole T2T-ViT")
        shape = self.state[key].shape
        if not shape_fits(shape, expected):
            self.fail(f"{key!r} has the shape {shape}, expected ({sizes_of(expected)})")
        return shape

    def fail(self, reason: str) -> NoReturn:
        raise CheckpointError(f"{self.source}: {reason}. Give a checkpoint of a T2T-ViT.")


def _stem_fields(shapes: _Shapes) -> dict[str, Any]:
    if f"{_STEM}attention1.w" in shapes.state:
        token_type, proj, qkv = "performer", "attention1.proj.weight", "attention2.kqv.weight"
    elif f"{_STEM}attention1.attn.qkv.weight" in shapes.state:
        token_type = "transformer"
        proj, qkv = "attention1.attn.proj.weight", "attention2.attn.qkv.weight"
    else:
        token_dim = shapes.require(f"{_STEM}soft_split0.weight", None, 3, 7, 7)[0]
        shapes.require(f"{_STEM}soft_split1.weight", token_dim, token_dim, 3, 3)
        return {"token_type": "convolution", "token_dim": token_dim}
    token_dim = shapes.require(_STEM + proj, None, None)[0]
    shapes.require(_STEM + qkv, 3 * token_dim, 9 * token_dim)
    return {"token_type": token_type, "token_dim": token_dim}


def _count_blocks(shapes: _Shapes) -> int:
    numbers = {match[1] for key in shapes.state if (match := _BLOCK.match(key))}
    count = len(numbers)
    if count > _MAX_BLOCKS or numbers != {str(index) for index in range(count)}:
        shapes.fail(f"its {count} blocks are not numbered 0, 1, 2 ... up to {_MAX_BLOCKS} blocks")
    return count


def _block_fields(shapes: _Shapes) -> dict[str, Any]:
    state, count = shapes.state, _count_blocks(shapes)
    embed_dim = shapes.require("cls_token", 1, 1, None)[-1]
    hidden_dim = shapes.require(f"{_FIRST}mlp.fc2.weight", embed_dim, None)[1]
    depth: int | tuple[int, ...] = count
    extra: dict[str, Any] = {"block_type": "standard"}
    if f"{_FIRST}attn.se_layer.fc.0.weight" in state:
        extra = {"block_type": "squeeze_excite"}
    elif f"{_FIRST}attn.cheap_operation_q.weight" in state:
        extra = {"block_type": "ghost"}
    elif f"{_FIRST}dense_linear.weight" in state:
        growth_rate = shapes.require(f"{_FIRST}dense_linear.weight", None, embed_dim)[0]
        extra = {"block_type": "dense", "growth_rate": growth_rate}
        ends = [-1, *(i for i in range(count) if _is_transition(state, i)), count]
        depth = tuple(end - start - 1 for start, end in itertools.pairwise(ends))
    fields = {"embed_dim": embed_dim, "depth": depth, "mlp_ratio": hidden_dim / embed_dim}
    return {**fields, **extra}


def _is_transition(state: Mapping[str, np.ndarray], index: int) -> bool:
    return f"blocks.{index}.linear.weight" in state


def _require_blocks(shapes: _Shapes, fields: dict[str, Any]) -> int:
    """Checks that every block is there in its width; returns the width after the last one."""
    width, growth_rate = fields["embed_dim"], fields.get("growth_rate", 0)
    for index in range(_count_blocks(shapes)):
        block = f"blocks.{index}."
        if _is_transition(shapes.state, index):
            shapes.require(f"{block}linear.weight", width // 2, width)
            width //= 2
            continue
        shapes.require(f"{block}attn.proj.weight", width, width)
        shapes.require(f"{block}mlp.fc2.weight", width, int(width * fields["mlp_ratio"]))
        if growth_rate:
            shapes.require(f"{block}dense_linear.weight", growth_rate, width)
        width += growth_rate
    shapes.require("norm.weight", width)
    return width


def identify(
    state: Mapping[str, np.ndarray], num_heads: int | None = None, source: str = "checkpoint"
) -> Identity:
    """Reads a model's sizes off its state dict, which need not be trusted.

    A model of them is at most several times as large as the arrays. No shape tells the number of
    attention heads: sizes nobody published need `num_heads`; for published ones None takes the
    first variant of those sizes (`t2t_vit_14`, not `t2t_vit_14_resnext`), which is logged.
    """
    shapes = _Shapes(state, source)
    fields = {**_stem_fields(shapes), **_block_fields(shapes)}
    width = _require_blocks(shapes, fields)
    positions = shapes.require("pos_embed", 1, None, fields["embed_dim"])[1] - 1
    side = math.isqrt(positions)
    if side < 1 or side * side != positions:
        shapes.fail(f"its position table has {positions} positions, which is no square grid")
    classes = None
    if {"head.weight", "head.bias"} & state.keys():
        classes = shapes.require("head.weight", None, width)[0]
        shapes.require("head.bias", classes)
    names = [
        name
        for name, variant in VARIANTS.items()
        if all(getattr(variant, field) == value for field, value in fields.items())
        and num_heads in (None, variant.num_heads)
    ]
    if len(names) > 1:
        logger.info("%s: taken for %s; `model_name` says if it is %s", source, *names)
    if names:
        variant = VARIANTS[names[0]]
    elif num_heads is not None:
        variant = Variant(num_heads=num_heads, **fields)
    else:
        sizes = ", ".join(f"{field}={value}" for field, value in fields.items())
        raise CheckpointError(
            f"{source}: is of no published size ({sizes}), and no shape tells the number of "
            "attention heads. Give it as `num_heads`."
        )
    strides = math.prod(split[1] for split in variant.soft_splits)
    return Identity(names[0] if names else None, variant, side * strides, classes)
