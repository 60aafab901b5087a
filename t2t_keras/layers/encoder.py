"""The deep-narrow encoder and its block."""

from typing import Any

import keras
from keras import ops

from t2t_keras.errors import check
from t2t_keras.layers.ablations import GhostAttention, GhostMlp, SqueezeExcite
from t2t_keras.layers.attention import MultiHeadSelfAttention
from t2t_keras.layers.mlp import Mlp
from t2t_keras.layers.primitives import Composite, Shape, StochasticDepth, Tensor

_BLOCK_TYPES = ("standard", "squeeze_excite", "ghost")


class BlockLayer(Composite):
    """Base of the blocks and encoders, with the arguments they share; see `EncoderBlock`."""

    def __init__(
        self,
        num_heads: int,
        mlp_ratio: float,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        block_type: str = "standard",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check(block_type in _BLOCK_TYPES, "block_type", block_type, f"one of {_BLOCK_TYPES}")
        self.num_heads = num_heads
        self.mlp_ratio = mlp_ratio
        self.drop_rate = drop_rate
        self.attn_drop_rate = attn_drop_rate
        self.drop_path_rate = drop_path_rate
        self.block_type = block_type
        self.seed = seed

    def block_config(self) -> dict:
        """The shared arguments, as given."""
        return {
            "num_heads": self.num_heads,
            "mlp_ratio": self.mlp_ratio,
            "drop_rate": self.drop_rate,
            "attn_drop_rate": self.attn_drop_rate,
            "drop_path_rate": self.drop_path_rate,
            "block_type": self.block_type,
            "seed": self.seed,
        }

    def inner_config(self, name: str, drop_path_rate: float) -> dict:
        """The shared arguments for a block inside this one, with its own seed and rate."""
        rate = {"drop_path_rate": drop_path_rate}
        return {**self.block_config(), **self.child_config(name), **rate}

    def get_config(self) -> dict:
        return {**super().get_config(), **self.block_config()}


@keras.saving.register_keras_serializable(package="t2t_keras")
class EncoderBlock(BlockLayer):
    """Attention and MLP, each after a LayerNorm and beside a skip connection.

    Args:
        num_heads: Attention heads; divides the width of the tokens.
        mlp_ratio: Hidden width of the MLP over the width of the tokens; above 0.
        drop_rate: Fraction of values dropped after attention and in the MLP, in [0, 1).
        attn_drop_rate: Fraction of attention weights dropped, in [0, 1).
        drop_path_rate: Fraction of the samples a branch is left out for, in [0, 1).
        block_type: "standard", "squeeze_excite" (a gate after attention) or "ghost" (half of the
            projections scaled copies).
        seed: Seed of the block's random masks; None picks one.

    Call arguments:
        inputs: (B, N, D) tokens.

    Returns:
        (B, N, D) tokens.

    Raises:
        ValueError: An argument is outside its range.

    Reference: arXiv:2101.11986, section 3.2; official `transformer_block.Block`.
    """

    def build(self, input_shape: Shape) -> None:
        ghost = self.block_type == "ghost"
        attention, mlp = (GhostAttention, GhostMlp) if ghost else (MultiHeadSelfAttention, Mlp)
        self.norm1 = self.layer_norm("norm1", input_shape)
        sizes: dict[str, Any] = {"num_heads": self.num_heads, "attn_drop_rate": self.attn_drop_rate}
        self.attn = self.child(attention(**sizes, **self.child_config("attn")), input_shape)
        self.squeeze_excite = None
        if self.block_type == "squeeze_excite":
            gate = SqueezeExcite(dtype=self.dtype_policy, name="squeeze_excite")
            self.squeeze_excite = self.child(gate, input_shape)
        self.drop = self.dropout("drop", self.drop_rate)
        self.norm2 = self.layer_norm("norm2", input_shape)
        sizes = {"mlp_ratio": self.mlp_ratio, "drop_rate": self.drop_rate}
        self.mlp = self.child(mlp(**sizes, **self.child_config("mlp")), input_shape)
        self.drop_path1 = self._drop_path("drop_path1")
        self.drop_path2 = self._drop_path("drop_path2")

    def _drop_path(self, name: str) -> StochasticDepth:
        return self.child(StochasticDepth(self.drop_path_rate, **self.child_config(name)))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        attended = self.attn(self.norm1(inputs), training=training)
        return self.add_branches(inputs, attended, training=training)

    def add_branches(
        self, inputs: Tensor, attended: Tensor, training: bool | None = None
    ) -> Tensor:
        """All that follows attention: the block's inputs and attention's output, each (B, N, D)."""
        if self.squeeze_excite is not None:
            attended = self.squeeze_excite(attended)
        attended = self.drop(attended, training=training)
        tokens = ops.add(inputs, self.drop_path1(attended, training=training))
        widened = self.mlp(self.norm2(tokens), training=training)
        return ops.add(tokens, self.drop_path2(widened, training=training))


class Encoder(BlockLayer):
    """Base of the encoders: a list of blocks, made by the subclass, and a final LayerNorm."""

    def make_blocks(self) -> list[keras.layers.Layer]:
        """The blocks in order, not built yet."""
        raise NotImplementedError  # every encoder has its own blocks

    def build(self, input_shape: Shape) -> None:
        self.blocks = []
        for made in self.make_blocks():
            block = self.child(made, input_shape)
            setattr(self, block.name, block)  # in a list alone `tf.train.Checkpoint` sees none
            self.blocks.append(block)
            input_shape = block.compute_output_shape(input_shape)
        self.norm = self.layer_norm("norm", input_shape)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        for block in self.blocks:
            inputs = block(inputs, training=training)
        return self.norm(inputs)


@keras.saving.register_keras_serializable(package="t2t_keras")
class DeepNarrowEncoder(Encoder):
    """Many blocks on narrow tokens, then a LayerNorm, as one layer of one's own model.

    In the published models the same blocks are layers of the model.

    Args:
        depth: Number of blocks; at least 1.
        drop_path_rate: Stochastic depth's rate in the deepest block, in [0, 1); it grows evenly
            from 0 in the first.
        num_heads, mlp_ratio, ...: As in `EncoderBlock`.

    Call arguments:
        inputs: (B, N, D) tokens.

    Returns:
        (B, N, D) tokens.

    Raises:
        ValueError: An argument is outside its range.

    Reference: arXiv:2101.11986, section 3.2; official `T2T_ViT.blocks` and `T2T_ViT.norm`.
    """

    def __init__(self, depth: int, num_heads: int, mlp_ratio: float, **kwargs: Any):
        super().__init__(num_heads, mlp_ratio, **kwargs)
        check(depth >= 1, "depth", depth, "at least 1")
        self.depth = depth

    def make_blocks(self) -> list[keras.layers.Layer]:
        rates = [self.drop_path_rate * n / max(self.depth - 1, 1) for n in range(self.depth)]
        return [
            EncoderBlock(**self.inner_config(f"encoder_block_{index}", rate))
            for index, rate in enumerate(rates)
        ]

    def get_config(self) -> dict:
        return {**super().get_config(), "depth": self.depth}
