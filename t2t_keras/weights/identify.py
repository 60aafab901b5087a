"""Which model a state dict belongs to, read off its keys and shapes."""

import dataclasses
import math
import re
from collections.abc import Mapping

import numpy as np

from t2t_keras.errors import CheckpointError
from t2t_keras.variants import VARIANTS, Variant

_STEM = "tokens_to_token."


@dataclasses.dataclass(frozen=True)
class Identity:
    """What a state dict says about its model.

    Args:
        name: The published variant, or None where the sizes are nobody's.
        variant: The sizes.
        image_size: Side in pixels of the square pictures its position table is for.
        classes: Number of classes; None where there is no head.
    """

    name: str | None
    variant: Variant
    image_size: int
    classes: int | None


def _shape(state: Mapping[str, np.ndarray], key: str, source: str) -> tuple:
    if key not in state:
        raise CheckpointError(
            f"{source}: has no {key!r}, which every T2T-ViT has. Give a checkpoint of a T2T-ViT."
        )
    return state[key].shape


def _stem_fields(state, source: str) -> dict:
    if f"{_STEM}attention1.w" in state:
        token_type, token_key = "performer", f"{_STEM}attention1.proj.weight"
    elif f"{_STEM}attention1.attn.qkv.weight" in state:
        token_type, token_key = "transformer", f"{_STEM}attention1.attn.proj.weight"
    else:
        token_type, token_key = "convolution", f"{_STEM}soft_split0.weight"
    return {"token_type": token_type, "token_dim": _shape(state, token_key, source)[0]}


def _block_fields(state, source: str) -> dict:
    embed_dim = _shape(state, "cls_token", source)[-1]
    blocks = {int(match[1]) for key in state if (match := re.match(r"blocks\.(\d+)\.", key))}
    transitions = sorted(index for index in blocks if f"blocks.{index}.linear.weight" in state)
    first = "blocks.0."
    depth, mlp_key, hidden_axis = len(blocks), f"{first}mlp.fc1.weight", 0
    extra = {"block_type": "standard"}
    if f"{first}attn.se_layer.fc.0.weight" in state:
        extra = {"block_type": "squeeze_excite"}
    elif f"{first}attn.cheap_operation_q.weight" in state:
        extra = {"block_type": "ghost"}
        mlp_key, hidden_axis = f"{first}mlp.fc2.weight", 1
    elif f"{first}dense_linear.weight" in state:
        growth = state[f"{first}dense_linear.weight"].shape[0]
        extra = {"block_type": "dense", "growth_rate": growth}
        ends = [-1, *transitions, len(blocks)]
        depth = tuple(end - start - 1 for start, end in zip(ends, ends[1:], strict=False))
    mlp_ratio = _shape(state, mlp_key, source)[hidden_axis] / embed_dim
    return {"embed_dim": embed_dim, "depth": depth, "mlp_ratio": mlp_ratio, **extra}


def _published(fields: dict, num_heads: int | None) -> str | None:
    for name, variant in VARIANTS.items():
        sizes = dataclasses.asdict(variant)
        same = all(sizes[field] == value for field, value in fields.items())
        if same and num_heads in (None, variant.num_heads):
            return name
    return None


def identify(
    state: Mapping[str, np.ndarray], num_heads: int | None = None, source: str = "checkpoint"
) -> Identity:
    """Reads a model's sizes off its state dict.

    Args:
        state: Official key -> array.
        num_heads: Attention heads, which no shape tells. Needed for sizes nobody published; for
            published ones None takes the first variant of those sizes (`t2t_vit_14`, not
            `t2t_vit_14_resnext`, which differs in nothing else).
        source: The file's name, for messages.

    Returns:
        The sizes, the published name if there is one, the picture size and the classes.

    Raises:
        CheckpointError: The state dict is of no T2T-ViT, its position table is of no square grid,
            or its heads are not known.
    """
    fields = {**_stem_fields(state, source), **_block_fields(state, source)}
    name = _published(fields, num_heads)
    if name is not None:
        variant = VARIANTS[name]
    elif num_heads is not None:
        variant = Variant(num_heads=num_heads, **fields)
    else:
        sizes = ", ".join(f"{field}={value}" for field, value in fields.items())
        raise CheckpointError(
            f"{source}: is of no published size ({sizes}), and no shape tells the number of "
            "attention heads. Say it with `num_heads` (--num_heads)."
        )
    positions = _shape(state, "pos_embed", source)[1] - 1
    side = math.isqrt(positions)
    if side * side != positions:
        raise CheckpointError(
            f"{source}: its position table has {positions} places, which is no square grid. "
            "Give a checkpoint of a model for square pictures."
        )
    strides = math.prod(split[1] for split in variant.soft_splits)
    classes = state["head.weight"].shape[0] if "head.weight" in state else None
    return Identity(name, variant, side * strides, classes)
