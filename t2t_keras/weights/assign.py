"""From a state dict into a model: everything is checked first, then everything is assigned."""

import dataclasses
import logging
from collections.abc import Mapping

import keras
import numpy as np

from t2t_keras.errors import CheckpointError
from t2t_keras.models.structure import POSITION_TABLE
from t2t_keras.weights.mapping import Entry, official_entries, resize_position_table
from t2t_keras.weights.torch_reader import printable

logger = logging.getLogger(__name__)

_HEAD_KEYS = ("head.weight", "head.bias")
_AUXILIARY_PREFIX = "aux_head."
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Row:
    """One key's way into a model.

    Args:
        key: The authors' name.
        shape: The array's shape in the checkpoint.
        target: Path of the variable it went to, or None.
        target_shape: That variable's shape, or None.
        how: How it went in, or why it did not.
    """

    key: str
    shape: tuple
    target: str | None
    target_shape: tuple | None
    how: str


@dataclasses.dataclass(frozen=True)
class Report:
    """What became of every key of a checkpoint.

    Args:
        rows: A row a key, in the checkpoint's order.
        fresh: Paths of the model's variables that kept their random values.
    """

    rows: tuple[Row, ...]
    fresh: tuple[str, ...] = ()

    @property
    def ignored(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.target is None)

    def __str__(self) -> str:
        """A table: source key, shape, target, its shape, how."""
        cells = [("source key", "shape", "target", "shape", "how")]
        for row in self.rows:
            target_shape = "-" if row.target_shape is None else str(row.target_shape)
            cells.append(
                (_printable(row.key), str(row.shape), row.target or "-", target_shape, row.how)
            )
        cells += [("-", "-", path, "-", "keeps its random values") for path in self.fresh]
        widths = [max(len(line[column]) for line in cells) for column in range(4)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False))
            + f"  {line[4]}"
            for line in cells
        )


def position_grid(model: keras.Model) -> tuple[int, int]:
    """(height, width) in tokens of the grid that a model's position table is kept for."""
    return model.get_layer(POSITION_TABLE).grid_size


def _position_array(
    entry: Entry, array: np.ndarray, model: keras.Model, table_grid: tuple[int, int] | None
):
    """The table for the model's grid and how it got there; None where it does not fit.

    A table says nothing of its grid. The authors' are square, so where `table_grid` is not known a
    square number of places is a square, be it as many as another grid of the model's has.
    """
    grid_size = position_grid(model)
    wanted = entry.official_shape
    if array.ndim != 3 or array.shape[0] != 1 or array.shape[2] != wanted[2]:
        return None, ""
    try:
        resized = resize_position_table(array, grid_size, table_grid)
    except ValueError:
        own = table_grid is None and array.shape == wanted
        return (array, entry.layout.name) if own else (None, "")
    if resized is array:
        return array, entry.layout.name
    how = f"resized bicubically to {grid_size[0]}x{grid_size[1]}"
    logger.info("position table: %s places %s", array.shape[1] - 1, how)
    return resized, how


def _refuse(source: str, missing, surplus, misshapen) -> None:
    lines = []
    for sign, what, names in (
        ("-", "missing", missing),
        ("+", "surplus", surplus),
        ("!", "of another shape", misshapen),
    ):
        lines += [f"  {sign} {what}: {_printable(name)}" for name in names[:_SHOWN]]
        if len(names) > _SHOWN:
            lines.append(f"  {sign} ... and {len(names) - _SHOWN} more {what}")
    what = f"{source}: does not fit the model, so nothing was loaded."
    raise CheckpointError("\n".join([what, *lines]))


def _printable(text: str) -> str:
    """What a file calls its arrays, without what would confuse a terminal."""
    return printable(text, limit=200)[1:-1]


def _other_classes(
    state: Mapping[str, np.ndarray], entries: Mapping[str, Entry]
) -> tuple[int, int] | None:
    """(the file's, the model's) number of classes, where a whole head is for another number."""
    if not all(key in state and key in entries for key in _HEAD_KEYS):
        return None
    classes, width = entries["head.weight"].official_shape
    weight_shape, bias_shape = (state[key].shape for key in _HEAD_KEYS)
    classifies = len(bias_shape) == 1 and weight_shape == (*bias_shape, width)
    return (bias_shape[0], classes) if classifies and bias_shape != (classes,) else None


def _reason_to_leave(
    key: str, entries: Mapping[str, Entry], other_classes: tuple[int, int] | None
) -> str | None:
    """Why a key does not go in, where that is as it should be."""
    if key.startswith(_AUXILIARY_PREFIX):
        return "left out: token labeling's auxiliary head, used in training only"
    if key not in _HEAD_KEYS:
        return None
    if key not in entries:
        return "left out: the model has no classifier"
    if other_classes is None:
        return None
    return "left out: for {} classes, the model has {} and a fresh head".format(*other_classes)


@dataclasses.dataclass
class _Plan:
    """What would be assigned, and what stands against it."""

    rows: list[Row] = dataclasses.field(default_factory=list)
    arrays: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    surplus: list[str] = dataclasses.field(default_factory=list)
    misshapen: list[str] = dataclasses.field(default_factory=list)


def _plan(
    model: keras.Model,
    state: Mapping[str, np.ndarray],
    entries: dict[str, Entry],
    table_grid: tuple[int, int] | None,
) -> _Plan:
    plan = _Plan()
    other_classes = _other_classes(state, entries)
    for key, array in state.items():
        reason = _reason_to_leave(key, entries, other_classes)
        if reason is not None:
            plan.rows.append(Row(key, array.shape, None, None, reason))
            continue
        if key not in entries:
            plan.surplus.append(f"{key} {array.shape}")
            continue
        entry, how = entries[key], entries[key].layout.name
        ready = array if array.shape == entry.official_shape else None
        if key == "pos_embed":
            ready, how = _position_array(entry, array, model, table_grid)
        if ready is None:
            plan.misshapen.append(f"{key} {array.shape}, the model wants {entry.official_shape}")
            continue
        shape = tuple(entry.variable.shape)
        plan.arrays[key] = entry.layout.to_keras(ready, shape)
        plan.rows.append(Row(key, array.shape, entry.variable.path, shape, how))
    return plan


def load_state_dict(
    model: keras.Model,
    state: Mapping[str, np.ndarray],
    source: str = "checkpoint",
    table_grid: tuple[int, int] | None = None,
) -> Report:
    """Puts a state dict into a model, whole or not at all.

    A head for another number of classes is left out and logged; a position table of another grid is
    resized; token labeling's auxiliary head is left out. Anything else that does not fit raises.

    Args:
        model: A model of this package.
        state: Official key -> float32 array.
        source: The file's name, for messages.
        table_grid: (height, width) in tokens of the position table, where it is known; else it is
            square, or the model's own.

    Returns:
        What became of every key.

    Raises:
        CheckpointError: A key is missing, surplus or of another shape; the model is unchanged.
    """
    entries = {entry.key: entry for entry in official_entries(model)}
    plan = _plan(model, state, entries, table_grid)
    missing = [
        f"{key} {entry.official_shape}" for key, entry in entries.items() if key not in state
    ]
    if missing or plan.surplus or plan.misshapen:
        _refuse(source, missing, plan.surplus, plan.misshapen)
    for key, array in plan.arrays.items():
        entries[key].variable.assign(array)
    for row in plan.rows:
        if row.target is None:
            logger.warning("%s: %s %s", source, _printable(row.key), row.how)
    fresh = tuple(entry.variable.path for key, entry in entries.items() if key not in plan.arrays)
    return Report(tuple(plan.rows), fresh)
