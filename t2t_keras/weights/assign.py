"""From a state dict into a model: everything is checked first, then everything is assigned."""

import dataclasses
import logging
import math
from collections.abc import Mapping
from typing import NoReturn

import keras
import numpy as np

from t2t_keras.errors import CheckpointError
from t2t_keras.models.structure import POSITION_TABLE
from t2t_keras.weights.identify import identify
from t2t_keras.weights.mapping import Entry, Shape, official_entries, resize_position_table
from t2t_keras.weights.torch_reader import printable

logger = logging.getLogger(__name__)

_HEAD_KEYS = ("head.weight", "head.bias")
_AUXILIARY_PREFIX = "aux_head."
_STEM = "tokens_to_token."
_STEM_WEIGHTS = ("soft_split0.weight", "attention1.kqv.weight", "attention1.attn.qkv.weight")
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Row:
    """The way of one of the authors' keys into a variable; `how` says why where it has none."""

    key: str
    shape: Shape
    how: str
    target: str | None = None
    target_shape: Shape | None = None


@dataclasses.dataclass(frozen=True)
class Report:
    """The way of every key of a checkpoint; `str()` gives a table.

    Args:
        rows: A row a key, in the checkpoint's order.
        fresh: Paths of the model's variables that kept their random values.
    """

    rows: tuple[Row, ...]
    fresh: tuple[str, ...] = ()

    @property
    def ignored(self) -> tuple[Row, ...]:
        """Rows of the keys that were not loaded."""
        return tuple(row for row in self.rows if row.target is None)

    def __str__(self) -> str:
        table = [("source key", "shape", "target", "shape", "how")]
        for row in self.rows:
            target = (row.target or "-", str(row.target_shape or "-"))
            table.append((_shown(row.key), str(row.shape), *target, row.how))
        table += [("-", "-", path, "-", "keeps its random values") for path in self.fresh]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in table
        )


def _shown(text: str) -> str:
    """Escapes characters of a file's key that would confuse a terminal."""
    return printable(text, limit=200)[1:-1]


def position_grid(model: keras.Model) -> tuple[int, int]:
    """Returns (height, width) in tokens of the grid of a model's position table."""
    return model.get_layer(POSITION_TABLE).grid_size


def _resized_table(
    entry: Entry, table: np.ndarray, grid_size: tuple[int, int], table_grid: tuple[int, int] | None
) -> tuple[np.ndarray | None, str]:
    """Returns the table for the model's grid and how it got there; None where it does not fit.

    A table's shape does not tell its grid. The authors' are square, so where `table_grid` is not
    known a square number of positions is a square, even if the model's grid has as many.
    """
    wanted = entry.official_shape
    if table.ndim != 3 or table.shape[0] != 1 or table.shape[2] != wanted[2]:
        return None, ""
    try:
        resized = resize_position_table(table, grid_size, table_grid)
    except ValueError:
        same = table_grid is None and table.shape == wanted
        return (table if same else None), entry.layout.name
    if resized is table:
        return table, entry.layout.name
    how = f"resized bicubically to {grid_size[0]}x{grid_size[1]}"
    logger.info("position table: %s positions %s", table.shape[1] - 1, how)
    return resized, how


def _raise_misfits(
    source: str, state: Mapping[str, np.ndarray], misfits: Mapping[str, list]
) -> NoReturn:
    """Lists the misfits and says which published model the state dict would fit."""
    lines = [f"{source}: does not fit the model, so nothing was loaded."]
    for kind, names in misfits.items():
        lines += [f"  {kind}: {_shown(name)}" for name in names[:_SHOWN]]
        if len(names) > _SHOWN:
            lines.append(f"  {kind[0]} ... and {len(names) - _SHOWN} more {kind[2:]}")
    try:
        identity = identify(state)
    except CheckpointError:
        lines.append("Its keys and shapes are those of no published T2T-ViT.")
    else:
        top = f"classes={identity.classes}" if identity.classes else "include_top=False"
        lines.append(f'It would fit create_model("{identity.name}", {top}).')
    raise CheckpointError("\n".join(lines))


def _reason_to_leave_head(
    state: Mapping[str, np.ndarray], entries: Mapping[str, Entry]
) -> str | None:
    """Returns why a checkpoint's head is rightly left out: the model has none, or other classes."""
    if not all(key in entries for key in _HEAD_KEYS):
        return "left out: the model has no classifier"
    if not all(key in state for key in _HEAD_KEYS):
        return None
    classes, width = entries["head.weight"].official_shape
    weight_shape, bias_shape = (state[key].shape for key in _HEAD_KEYS)
    is_head = len(bias_shape) == 1 and weight_shape == (*bias_shape, width)
    if not is_head or bias_shape == (classes,):
        return None
    return f"left out: for {bias_shape[0]} classes, the model has {classes} and a fresh head"


def _of_channels(
    state: Mapping[str, np.ndarray], entries: Mapping[str, Entry], channels: int
) -> Mapping[str, np.ndarray]:
    """Returns RGB weights for images of that many channels; other weights as they are.

    One channel takes the sums over red, green and blue, more take them in turn, scaled by 3 over
    their number. A LayerNorm before the first layer is folded into it: gray images then have the
    outputs of their RGB copies, but for a layer without bias, which comes as near as it can.

    Reference: timm, `adapt_input_conv`.
    """
    key = next((_STEM + k for k in _STEM_WEIGHTS if {_STEM + k} <= state.keys() & entries), "")
    wanted = entries[key].official_shape if key else ()
    if not key or channels == 3 or state[key].size * channels != 3 * math.prod(wanted):
        return state
    weight, norm, bias = state[key], f"{_STEM}attention1.norm1.", key.replace("weight", "bias")
    if weight.ndim == 2:
        shapes = [state[k].shape for k in (f"{norm}weight", f"{norm}bias") if k in state]
        if shapes != [weight.shape[1:]] * 2 or state.get(bias, weight[:, 0]).shape != wanted[:1]:
            return state  # whose misfits are listed
        weight, offset = weight * state[f"{norm}weight"], weight @ state[f"{norm}bias"]
    colors = weight.reshape(len(weight), 3, -1)
    summed, repeated = colors.sum(axis=1), colors[:, np.arange(channels) % 3] * (3 / channels)
    adapted = {key: (summed if channels == 1 else repeated).reshape(wanted).astype(np.float32)}
    logger.info("image channels: the weights of 3 adapted to %s", channels)
    if weight.ndim == 2:
        if bias in state:
            adapted[bias], offset = state[bias] + offset, 0.0 * offset
        adapted[f"{norm}weight"] = np.ones(wanted[1:], np.float32)
        adapted[f"{norm}bias"] = np.linalg.lstsq(adapted[key], offset, rcond=None)[0]
    return {**state, **adapted}


def load_state_dict(
    model: keras.Model,
    state: Mapping[str, np.ndarray],
    source: str = "checkpoint",
    table_grid: tuple[int, int] | None = None,
) -> Report:
    """Loads official key -> float32 array into a model, whole or not at all.

    A head for another number of classes is left out and logged; a position table of another grid is
    resized; token labeling's auxiliary head is left out. Anything else that does not fit raises.
    `table_grid` is the table's (height, width) in tokens; if it is not known, the table is square
    or the model's own.
    """
    entries = {entry.key: entry for entry in official_entries(model)}
    state = _of_channels(state, entries, model.input_shape[-1])
    reasons = dict.fromkeys(_HEAD_KEYS, _reason_to_leave_head(state, entries))
    rows, arrays, surplus, misshapen = [], {}, [], []
    for key, array in state.items():
        reason, entry = reasons.get(key), entries.get(key)
        if key.startswith(_AUXILIARY_PREFIX):
            reason = "left out: token labeling's auxiliary head, used in training only"
        if reason is not None:
            rows.append(Row(key, array.shape, reason))
            continue
        if entry is None:
            surplus.append(f"{key} {array.shape}")
            continue
        fitted, how = (array if array.shape == entry.official_shape else None), entry.layout.name
        if key == "pos_embed":
            fitted, how = _resized_table(entry, array, position_grid(model), table_grid)
        if fitted is None:
            misshapen.append(f"{key} {array.shape}, the model wants {entry.official_shape}")
            continue
        shape = tuple(entry.variable.shape)
        arrays[key] = entry.layout.to_keras(fitted, shape)
        rows.append(Row(key, array.shape, how, entry.variable.path, shape))
    missing = [f"{key} {each.official_shape}" for key, each in entries.items() if key not in state]
    if missing or surplus or misshapen:
        misfits = {"- missing": missing, "+ surplus": surplus, "! of another shape": misshapen}
        _raise_misfits(source, state, misfits)
    for key, array in arrays.items():
        entries[key].variable.assign(array)
    fresh = tuple(entry.variable.path for key, entry in entries.items() if key not in arrays)
    report = Report(tuple(rows), fresh)
    for row in report.ignored:  # a head is left out because the caller wants another one
        level = logging.INFO if row.key in _HEAD_KEYS else logging.WARNING
        logger.log(level, "%s: %s %s", source, _shown(row.key), row.how)
    return report
