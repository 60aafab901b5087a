"""The authors' checkpoint keys as a table: the variable of each one, and its layout."""

import dataclasses
import math
from collections.abc import Callable

import keras
import numpy as np

from t2t_keras.errors import check
from t2t_keras.layers.embeddings import resize_grid
from t2t_keras.models import structure

Shape = tuple[int, ...]


def resize_position_table(
    table: np.ndarray, grid_size: tuple[int, int], old_grid_size: tuple[int, int] | None = None
) -> np.ndarray:
    """Resizes the grid part of a (1, 1 + h * w, D) position table and keeps the class token's row.

    A table of unknown grid is taken for a square. Reference: official `utils.resize_pos_embed`.
    """
    positions = table.shape[1] - 1
    if old_grid_size is None:
        old_grid_size = (math.isqrt(positions),) * 2
    expected = f"given where the table's grid is not square, for its {positions} positions"
    check(math.prod(old_grid_size) == positions, "old_grid_size", old_grid_size, expected)
    if tuple(grid_size) == tuple(old_grid_size):
        return table
    grid = keras.ops.convert_to_tensor(table[0, 1:].reshape(*old_grid_size, -1), "float32")
    resized = keras.ops.convert_to_numpy(resize_grid(grid, *grid_size))
    return np.concatenate([table[:, :1], resized.reshape(1, -1, table.shape[-1])], axis=1)


@dataclasses.dataclass(frozen=True)
class Layout:
    """One way in which an official array and a Keras variable hold the same numbers."""

    name: str  # in the report
    to_keras: Callable[[np.ndarray, Shape], np.ndarray]
    to_official: Callable[[np.ndarray], np.ndarray]


def _unfold_to_keras(array: np.ndarray, shape: Shape) -> np.ndarray:
    kernel_size, _, channels, filters = shape
    return array.reshape(filters, channels, kernel_size, kernel_size).transpose(2, 3, 1, 0)


AS_IS = Layout("as is", lambda array, shape: array, lambda array: array)
TRANSPOSED = Layout("transposed", lambda array, shape: array.T, lambda array: array.T)
CHANNEL_SCALE = Layout(
    "grouped 1x1 convolution",
    lambda array, shape: array.reshape(shape),
    lambda array: array.reshape(-1, 1, 1),
)
CONVOLUTION = Layout(
    "convolution",
    lambda array, shape: array.transpose(2, 3, 1, 0),
    lambda array: array.transpose(3, 2, 0, 1),
)
# torch's Unfold is channel-major: its linear layer becomes a convolution's (ky, kx, c) kernel.
UNFOLDED_LINEAR = Layout(
    "unfolded linear",
    _unfold_to_keras,
    lambda kernel: kernel.transpose(3, 2, 0, 1).reshape(kernel.shape[-1], -1),
)

_NORMS = {"norm1": "norm1", "norm2": "norm2"}
_MLP = {"mlp/fc1": "mlp.fc1", "mlp/fc2": "mlp.fc2"}
_PERFORMER_PARTS = {
    **_NORMS,
    **{"in_proj": "kqv", "proj": "proj", "mlp/fc1": "mlp.0", "mlp/fc2": "mlp.2"},
}
_TRANSFORMER_PARTS = {**_NORMS, **_MLP, "in_proj": "attn.qkv", "proj": "attn.proj"}
_BLOCK_PARTS = {
    **_NORMS,
    **_MLP,
    "attn/qkv": "attn.qkv",
    "attn/query": "attn.q",
    "attn/key": "attn.k",
    "attn/value": "attn.v",
    "attn/proj": "attn.proj",
    "squeeze_excite/squeeze": "attn.se_layer.fc.0",
    "squeeze_excite/excite": "attn.se_layer.fc.2",
    "growth": "dense_linear",
    "linear": "linear",
}
_WHOLE_LAYERS = {
    structure.CONVOLUTIONS[0]: "tokens_to_token.soft_split0",
    structure.CONVOLUTIONS[1]: "tokens_to_token.soft_split1",
    structure.PROJECT: "tokens_to_token.project",
    structure.NORM: "norm",
    structure.HEAD: "head",
}
_SINGLE_VARIABLES = {
    f"{structure.CLASS_TOKEN}/class_token": ("cls_token", AS_IS),
    f"{structure.POSITION_TABLE}/position_table": ("pos_embed", AS_IS),
    "random_features": ("w", AS_IS),
    "attn/query_scale": ("attn.cheap_operation_q.weight", CHANNEL_SCALE),
    "attn/key_scale": ("attn.cheap_operation_k.weight", CHANNEL_SCALE),
    "attn/value_scale": ("attn.cheap_operation_v.weight", CHANNEL_SCALE),
    "mlp/scale2": ("mlp.cheap_operation2.weight", CHANNEL_SCALE),
    "mlp/scale3": ("mlp.cheap_operation3.weight", CHANNEL_SCALE),
}
_LEAVES = {"kernel": "weight", "gamma": "weight", "beta": "bias", "bias": "bias"}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One official key, the model's variable it belongs to, and how the two arrays differ."""

    key: str
    variable: keras.Variable
    layout: Layout

    @property
    def official_shape(self) -> Shape:
        stand_in = np.broadcast_to(np.float32(0), tuple(self.variable.shape))  # takes no memory
        return self.layout.to_official(stand_in).shape


def _layout(path: str, rank: int, convolution_stem: bool) -> Layout:
    if not path.endswith("/kernel"):
        return AS_IS
    if rank == 2:
        return TRANSPOSED
    return CONVOLUTION if convolution_stem else UNFOLDED_LINEAR


def _place(path: str, performer: bool) -> tuple[str, str, dict]:
    """Splits a path into the official prefix, the path below it and its table of parts."""
    below = path.partition("/")[2]
    if (number := structure.t2t_block_number(path)) is not None:
        parts = _PERFORMER_PARTS if performer else _TRANSFORMER_PARTS
        return f"tokens_to_token.attention{number + 1}.", below.removeprefix("token_layer/"), parts
    if (number := structure.block_number(path)) is not None:
        return f"blocks.{number}.", below.removeprefix("block/"), _BLOCK_PARTS
    return "", path, _WHOLE_LAYERS


def official_entries(model: keras.Model) -> list[Entry]:
    """Returns every variable of a T2T-ViT with its official key, in the model's order."""
    paths = [variable.path for variable in model.variables]
    performer = any(path.endswith("/random_features") for path in paths)
    convolution_stem = any(path.startswith(structure.CONVOLUTIONS) for path in paths)
    entries = []
    for variable in model.variables:
        if "seed_generator" in variable.path:
            continue
        prefix, path, parts = _place(variable.path, performer)
        if path in _SINGLE_VARIABLES:
            key, layout = _SINGLE_VARIABLES[path]
        else:
            layer, _, leaf = path.rpartition("/")
            if layer not in parts or leaf not in _LEAVES:
                raise ValueError(
                    "`model` must be a T2T-ViT as this package's functions build it; the authors' "
                    f"models have no place for one of its variables. Received: {variable.path}"
                )
            key = f"{parts[layer]}.{_LEAVES[leaf]}"
            layout = _layout(path, len(variable.shape), convolution_stem)
        entries.append(Entry(prefix + key, variable, layout))
    return entries


def official_state(model: keras.Model) -> dict[str, np.ndarray]:
    """Returns the model's weights under the authors' keys and in their layout, as float32."""
    return {
        entry.key: np.ascontiguousarray(
            entry.layout.to_official(keras.ops.convert_to_numpy(entry.variable)), np.float32
        )
        for entry in official_entries(model)
    }
