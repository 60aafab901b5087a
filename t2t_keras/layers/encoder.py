"""The deep-narrow encoder and its block."""

import keras

from t2t_keras.layers.ablations import GhostAttention, GhostMlp, SqueezeExcite
from t2t_keras.layers.attention import MultiHeadSelfAttention
from t2t_keras.layers.mlp import Mlp
from t2t_keras.layers.primitives import (
    StochasticDepth,
    child_seed,
    dropout,
    layer_norm,
    linear_rates,
)

_BLOCK_TYPES = ("standard", "squeeze_excite", "ghost")


class BlockLayer(keras.layers.Layer):
    """Holds the arguments that a block and every list of blocks share; see `EncoderBlock`."""

    def __init__(
        self,
        num_heads: int,
        mlp_ratio: float,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        block_type: str = "standard",
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if block_type not in _BLOCK_TYPES:
            raise ValueError(
                f"`block_type` must be one of {_BLOCK_TYPES}. Received: block_type={block_type}"
            )
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

    def child_config(self, name: str, seed_of: str | int, drop_path_rate: float) -> dict:
        """The shared arguments for a block inside this one, under its own seed and rate."""
        own = {
            "seed": child_seed(self.seed, seed_of),
            "drop_path_rate": drop_path_rate,
            "name": name,
            "dtype": self.dtype_policy,
        }
        return {**self.block_config(), **own}

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), **self.block_config()}


@keras.saving.register_keras_serializable(package="t2t_keras")
class EncoderBlock(BlockLayer):
    """Attention and MLP, each behind a LayerNorm and beside a skip connection.

    Args:
        num_heads: Attention heads; divides the width of the tokens.
        mlp_ratio: Hidden width of the MLP over the width of the tokens; above 0.
        drop_rate: Fraction of values dropped after attention and in the MLP, in [0, 1).
        attn_drop_rate: Fraction of attention weights dropped, in [0, 1).
        drop_path_rate: Fraction of the samples a branch is left out for, in [0, 1).
        block_type: "standard", "squeeze_excite" (a gate after attention) or "ghost" (half of the
            projections scaled copies).
        seed: Seed of the block's draws; None draws one.

    Call arguments:
        inputs: (B, N, D) tokens.

    Returns:
        (B, N, D) tokens.

    Raises:
        ValueError: An argument is outside its range.

    Reference: arXiv:2101.11986, section 3.2; official `transformer_block.Block`.
    """

    def build(self, input_shape):
        ghost = self.block_type == "ghost"
        attention = GhostAttention if ghost else MultiHeadSelfAttention
        mlp = GhostMlp if ghost else Mlp
        self.norm1 = layer_norm(self, "norm1", input_shape)
        self.attn = attention(self.num_heads, self.attn_drop_rate, **self._part("attn"))
        self.attn.build(input_shape)
        self.squeeze_excite = None
        if self.block_type == "squeeze_excite":
            self.squeeze_excite = SqueezeExcite(dtype=self.dtype_policy, name="squeeze_excite")
            self.squeeze_excite.build(input_shape)
        self.drop = dropout(self, self.drop_rate, "drop")
        self.norm2 = layer_norm(self, "norm2", input_shape)
        self.mlp = mlp(self.mlp_ratio, self.drop_rate, **self._part("mlp"))
        self.mlp.build(input_shape)
        self.drop_path1 = StochasticDepth(self.drop_path_rate, **self._part("drop_path1"))
        self.drop_path2 = StochasticDepth(self.drop_path_rate, **self._part("drop_path2"))

    def _part(self, name: str) -> dict:
        return {"seed": child_seed(self.seed, name), "name": name, "dtype": self.dtype_policy}

    def call(self, inputs, training=None):
        attended = self.attn(self.norm1(inputs), training=training)
        return self.add_branches(inputs, attended, training=training)

    def add_branches(self, inputs, attended, training=None):
        """All behind attention: what came in and what attention made of it, each (B, N, D)."""
        branch = attended
        if self.squeeze_excite is not None:
            branch = self.squeeze_excite(branch)
        branch = self.drop(branch, training=training)
        tokens = inputs + self.drop_path1(branch, training=training)
        branch = self.mlp(self.norm2(tokens), training=training)
        return tokens + self.drop_path2(branch, training=training)


class Encoder(BlockLayer):
    """A list of blocks and a final LayerNorm; a subclass gives `make_blocks`.

    It is one layer of one's own model, or, as in the published models, a recipe: `as_nodes` makes
    every block and the norm a layer of the functional model itself.
    """

    def build(self, input_shape):
        self.blocks = self.make_blocks()
        for block in self.blocks:
            block.build(input_shape)
            input_shape = block.compute_output_shape(input_shape)
        self.norm = layer_norm(self, "norm", input_shape)

    def make_blocks(self) -> list[keras.layers.Layer]:
        """The blocks in order, each of them not built yet."""
        raise NotImplementedError  # every encoder has its own blocks

    def as_nodes(self, tokens):
        """(B, N, D) Keras tensor -> (B, N, E); the model gets the blocks, not this layer."""
        for block in self.make_blocks():
            tokens = block(tokens)
        return layer_norm(self, f"{self.name}_norm", tokens.shape)(tokens)

    def call(self, inputs, training=None):
        tokens = inputs
        for block in self.blocks:
            tokens = block(tokens, training=training)
        return self.norm(tokens)


@keras.saving.register_keras_serializable(package="t2t_keras")
class DeepNarrowEncoder(Encoder):
    """Many blocks on narrow tokens, then a LayerNorm.

    Args:
        depth: Number of blocks; at least 1.
        num_heads: Attention heads of a block; divides the width of the tokens.
        mlp_ratio: Hidden width of a block's MLP over the width of the tokens; above 0.
        drop_rate: Fraction of values dropped after attention and in the MLP, in [0, 1).
        attn_drop_rate: Fraction of attention weights dropped, in [0, 1).
        drop_path_rate: Stochastic depth's rate in the deepest block, in [0, 1); it grows evenly
            from 0 in the first.
        block_type: "standard", "squeeze_excite" or "ghost".
        seed: Seed of all draws; None draws one.

    Call arguments:
        inputs: (B, N, D) tokens.

    Returns:
        (B, N, D) tokens.

    Raises:
        ValueError: An argument is outside its range.

    Reference: arXiv:2101.11986, section 3.2; official `T2T_ViT.blocks` and `T2T_ViT.norm`.
    """

    def __init__(self, depth: int, num_heads: int, mlp_ratio: float, **kwargs):
        super().__init__(num_heads, mlp_ratio, **kwargs)
        if depth < 1:
            raise ValueError(f"`depth` must be at least 1. Received: depth={depth}")
        self.depth = depth

    def make_blocks(self):
        rates = linear_rates(self.drop_path_rate, self.depth)
        return [
            EncoderBlock(**self.child_config(f"encoder_block_{index}", index, rate))
            for index, rate in enumerate(rates)
        ]

    def get_config(self):
        return {**super().get_config(), "depth": self.depth}
